#include "cli/yaml.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(JsonFromYaml, PlainScalarsHaveTheTypesOfTheCoreSchema) {
  EXPECT_EQ(JsonFromYaml("{a: 1, b: -2.5e3, c: true, d: null, e: ~, f: }").value(),
            R"({"a":1,"b":-2.5e3,"c":true,"d":null,"e":null,"f":null})");
}

TEST(JsonFromYaml, WhatOnlyLooksLikeANumberIsText) {
  // YAML 1.1 would make a number of base 60 of the first.
  EXPECT_EQ(JsonFromYaml("[52:54:00:00:07:02, 010, 0x10, 1_000, .5, yes, No]").value(),
            R"(["52:54:00:00:07:02","010","0x10","1_000",".5","yes","No"])");
}

TEST(JsonFromYaml, QuotedScalarsAreText) {
  EXPECT_EQ(JsonFromYaml(R"({a: "1", b: 'true', c: ""})").value(), R"({"a":"1","b":"true","c":""})");
}

TEST(JsonFromYaml, TextIsEscaped) {
  EXPECT_EQ(JsonFromYaml("a: |\n  say \"hi\\\"\n  \ttab\n").value(),
            R"({"a":"say \"hi\\\"\u000a\u0009tab\u000a"})");
}

TEST(JsonFromYaml, NothingInListsAndMaps) {
  EXPECT_EQ(JsonFromYaml("{a: [], b: {}}").value(), R"({"a":[],"b":{}})");
}

TEST(JsonFromYaml, ErrorsTellThePlace) {
  const auto broken = JsonFromYaml("a: 1\nb: [1, 2\n");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), Code::kInvalidArgument);
  EXPECT_NE(broken.error().message().find("line 3"), std::string::npos) << broken.error().message();
  EXPECT_NE(JsonFromYaml("a:\n  [1, 2]: 3\n").error().message().find("line 2"), std::string::npos);
}

TEST(JsonFromYaml, AliasesThatMultiplyAreRefused) {
  std::string yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    yaml += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) yaml += fmt::format("{}*a{}", j == 0 ? "" : ", ", i - 1);
    yaml += "]\n";
  }
  EXPECT_EQ(JsonFromYaml(yaml).error().code(), Code::kInvalidArgument);
}

TEST(JsonFromYaml, DepthIsLimited) {
  EXPECT_FALSE(JsonFromYaml(std::string(200, '[') + std::string(200, ']')));
  EXPECT_FALSE(JsonFromYaml(std::string(100'000, '[')));
}

TEST(YamlFromJson, ReadsBackAsTheSame) {
  const std::string json =
      R"({"name":"guests/web","size":"536870912","count":2,"on":true,"text":"true","empty":"","list":[1,"2",{"a":"~"}]})";
  EXPECT_EQ(JsonFromYaml(YamlFromJson(json)).value(), json);
}

TEST(YamlFromJson, IsInBlockStyle) {
  EXPECT_EQ(YamlFromJson(R"({"a":{"b":[1,2]}})"), "a:\n  b:\n    - 1\n    - 2\n");
}

}  // namespace
}  // namespace berth::cli
