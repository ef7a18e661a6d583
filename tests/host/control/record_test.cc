#include "host/control/record.h"

#include <gtest/gtest.h>

#include "host/control/cgroup.h"

namespace berth::host {
namespace {

struct Inner {
  int number = 0;
  std::vector<std::string> words;
  friend bool operator==(const Inner&, const Inner&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("number", self.number);
    visit("words", self.words);
  }
};

struct Outer {
  std::string text;
  bool flag = false;
  uint64_t big = 0;
  PciAddress address;
  CpuSet cpus;
  std::optional<Inner> maybe;
  std::vector<Inner> many;
  friend bool operator==(const Outer&, const Outer&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("text", self.text);
    visit("flag", self.flag);
    visit("big", self.big);
    visit("address", self.address);
    visit("cpus", self.cpus);
    visit("maybe", self.maybe);
    visit("many", self.many);
  }
};

const Outer kSample = {.text = "a=b\nc%0a\x01\x7f\xff",
                       .flag = true,
                       .big = UINT64_MAX,
                       .address = {0x10000, 8, 31, 7},
                       .cpus = {0, 1, 2, 9},
                       .maybe = Inner{-5, {"", "x"}},
                       .many = {Inner{}, Inner{1, {"="}}}};

TEST(Record, GivesBackWhatWasPutIn) {
  EXPECT_EQ(Decode<Outer>(Encode(kSample)).value(), kSample);
  EXPECT_EQ(Decode<Outer>(Encode(Outer{})).value(), Outer{});
}

TEST(Record, IsReadableText) {
  EXPECT_EQ(Encode(Inner{3, {"one", "two=2\n"}}), "number=3\nwords.size=2\nwords.0=one\nwords.1=two=2%0a\n");
}

TEST(Record, RefusesEveryTruncation) {
  const std::string text = Encode(kSample);
  for (size_t size = 0; size + 1 < text.size(); ++size) {  // All but the last line's end.
    const auto decoded = Decode<Outer>(text.substr(0, size));
    EXPECT_FALSE(decoded && *decoded == kSample) << size;
  }
}

TEST(Record, RefusesWhatIsNotOne) {
  for (const char* text :
       {"number=3\n", "number=3\nwords.size=0\nextra=1\n", "number=3\nnumber=3\nwords.size=0\n",
        "number=3x\nwords.size=0\n", "number=\nwords.size=0\n", "number=3\nwords.size=5000\n",
        "number=3\nwords.size=-1\n", "number=9999999999\nwords.size=0\n",
        "number=3\nwords.size=1\nwords.0=%4\n", "number=3\nwords.size=1\nwords.0=%zz\n",
        "number\nwords.size=0\n"}) {
    const auto decoded = Decode<Inner>(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code(), Code::kDataLoss);
  }
  EXPECT_FALSE(Decode<Inner>(std::string(2 << 20, 'x')));
}

TEST(Record, HoldsACgroup) {
  const CgroupChange change = {.path = "berth/web1",
                               .limits = {.cpus = {0, 1}, .memory_nodes = {0}, .cpu_weight = 200},
                               .children = {{.name = "vcpu0", .limits = {.cpus = {0}}}, {.name = "io0"}}};
  EXPECT_EQ(Decode<CgroupChange>(Encode(change)).value(), change);
}

}  // namespace
}  // namespace berth::host
