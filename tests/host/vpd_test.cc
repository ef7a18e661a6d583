#include "host/vpd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::string Large(uint8_t tag, const std::string& body) {
  return std::string{static_cast<char>(tag), static_cast<char>(body.size()), '\0'} + body;
}
std::string Field(const std::string& keyword, const std::string& text) {
  return keyword + static_cast<char>(text.size()) + text;
}
VitalProductData Parse(const std::string& bytes) {
  return ParseVpd({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

const std::string kNic = Large(0x82, "An adapter ") +
                         Large(0x90, Field("PN", "MCX623106") + Field("SN", "MT2130X01234  ") +
                                         Field("RV", std::string("\x5a\0", 2))) +
                         Large(0x91, Field("YA", "asset")) + "\x78";

TEST(Vpd, TellsProductAndReadOnlyFields) {
  const VitalProductData data = Parse(kNic);
  EXPECT_EQ(data.product, "An adapter");
  EXPECT_THAT(data.fields, UnorderedElementsAre(Pair("PN", "MCX623106"), Pair("SN", "MT2130X01234")));
}

TEST(Vpd, EndsWhereItMakesNoSense) {
  // Cut anywhere it tells what came before the cut.
  for (size_t size = 0; size < kNic.size(); ++size) {
    const VitalProductData data = Parse(kNic.substr(0, size));
    EXPECT_TRUE(data.product.empty() || data.product == "An adapter");
    for (const auto& [keyword, text] : data.fields) EXPECT_FALSE(text.empty());
  }
  EXPECT_THAT(Parse("\x78" + kNic).fields, IsEmpty());
  EXPECT_THAT(Parse(Large(0x90,
                          "SN\x09"
                          "12"))
                  .fields,
              IsEmpty());                                          // A field longer than its list.
  EXPECT_EQ(Parse(std::string(100, '\xff')), VitalProductData());  // A device that does not answer.
}

TEST(Vpd, WhatIsNoTextIsReplaced) { EXPECT_EQ(Parse(Large(0x82, "a\x1b[2Jb")).product, "a?[2Jb"); }

TEST(Vpd, ReadsTheFunctionsFile) {
  HostTree tree;
  tree.AddFunction({.address = "0000:08:00.0"});
  EXPECT_EQ(ReadVpd(tree.roots(), {0, 8, 0, 0}), VitalProductData());
  tree.Write(tree.FunctionPath("0000:08:00.0") + "/vpd", kNic);
  EXPECT_EQ(ReadVpd(tree.roots(), {0, 8, 0, 0}), Parse(kNic));
}

}  // namespace
}  // namespace berth::host
