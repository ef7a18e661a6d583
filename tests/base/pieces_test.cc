#include "base/pieces.h"

#include <string>

#include <gtest/gtest.h>

namespace berth {
namespace {

struct Pieces : testing::Test {
  char text[16] = "abcdefghijklmno";
  // "cd", nothing, "ghij", "a"
  std::vector<iovec> pieces = {{text + 2, 2}, {text, 0}, {text + 6, 4}, {text, 1}};

  static std::string Join(const std::vector<iovec>& vector) {
    std::string joined;
    for (const iovec& piece : vector) joined.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    return joined;
  }
};

TEST_F(Pieces, SlicesByBytes) {
  std::vector<iovec> out;
  SlicePieces(pieces, 0, 100, &out);
  EXPECT_EQ(Join(out), "cdghija");
  SlicePieces(pieces, 1, 4, &out);
  EXPECT_EQ(Join(out), "dghi");
  SlicePieces(pieces, 6, 1, &out);
  EXPECT_EQ(Join(out), "a");
  SlicePieces(pieces, 7, 1, &out);
  EXPECT_TRUE(out.empty());
}

TEST_F(Pieces, ASliceHasNoMorePiecesThanOneSystemCallTakes) {
  const std::vector<iovec> many(3000, iovec{text, 1});
  std::vector<iovec> out;
  SlicePieces(many, 5, 3000, &out);
  EXPECT_EQ(out.size(), kMaxPieces);
}

TEST_F(Pieces, CopiesBothWays) {
  uint8_t bytes[4] = {};
  CopyFromPieces(pieces, 1, bytes);
  EXPECT_EQ(std::string(bytes, bytes + 4), "dghi");
  const uint8_t marks[] = {'1', '2', '3'};
  CopyToPieces(pieces, 5, marks);
  EXPECT_EQ(std::string(text), "2bcdefghi1klmno");
}

TEST_F(Pieces, ZeroesTheRest) {
  ZeroPieces(pieces, 3);
  EXPECT_EQ(std::string(text, 15), std::string("\0bcdefg\0\0\0klmno", 15));
}

TEST_F(Pieces, AlignmentIsOfEveryAddressAndEveryLength) {
  alignas(16) uint8_t memory[64];
  const iovec good[] = {{memory, 16}, {memory + 32, 32}};
  const iovec short_piece[] = {{memory, 16}, {memory + 32, 8}};
  const iovec odd_address[] = {{memory, 16}, {memory + 24, 16}};
  EXPECT_TRUE(PiecesAligned(good, 16, 16));
  EXPECT_FALSE(PiecesAligned(short_piece, 16, 16));
  EXPECT_FALSE(PiecesAligned(odd_address, 16, 16));
  EXPECT_TRUE(PiecesAligned(odd_address, 8, 16));
}

}  // namespace
}  // namespace berth
