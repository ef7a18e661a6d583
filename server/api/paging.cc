#include "server/api/paging.h"

namespace berth::server {
namespace {

constexpr size_t kMaxTokenBytes = 4096;

// FNV-1a: enough to tell another query from the same one; nothing depends on its being hard to fool.
uint64_t Hash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

tl::unexpected<Error> BadToken() {
  return Fail(Error(Code::kInvalidArgument, "the page token is not one of this list with this filter")
                  .Reason("BAD_PAGE_TOKEN")
                  .Field("page_token"));
}

int HexDigit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

}  // namespace

Result<int> PageSize(int asked, int by_default) {
  if (asked >= 0) return asked == 0 ? by_default : std::min(asked, kMaxPageSize);
  return Fail(Error(Code::kInvalidArgument, fmt::format("a page of {}", asked))
                  .Reason("BAD_PAGE_SIZE")
                  .Field("page_size"));
}

std::string MakePageToken(const std::string& query, const std::string& position) {
  std::string token = fmt::format("{:016x}", Hash(query));
  for (unsigned char c : position) token += fmt::format("{:02x}", c);
  return token;
}

Result<std::string> ReadPageToken(const std::string& query, const std::string& token) {
  const std::string hash = fmt::format("{:016x}", Hash(query));
  if (token.size() > kMaxTokenBytes || token.size() % 2 != 0 || !token.starts_with(hash)) return BadToken();
  std::string position;
  for (size_t i = hash.size(); i < token.size(); i += 2) {
    const int high = HexDigit(token[i]), low = HexDigit(token[i + 1]);
    if (high < 0 || low < 0) return BadToken();
    position += static_cast<char>(high * 16 + low);
  }
  return position;
}

}  // namespace berth::server
