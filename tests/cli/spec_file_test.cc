#include "cli/spec_file.h"

#include <fstream>

#include <gtest/gtest.h>

#include "cli/output.h"

namespace berth::cli {
namespace {

constexpr char kJson[] = R"({"cpus": {"vcpu_count": 2}, "memory": {"sizeBytes": "536870912"},
  "networkInterfaces": [{"bridge": "br0", "mac_address": "52:54:00:00:07:02"}]})";
constexpr char kYaml[] = R"(# Two vCPUs.
cpus: {vcpu_count: 2}
memory:
  size_bytes: 536870912
network_interfaces:
  - bridge: br0
    mac_address: 52:54:00:00:07:02
)";

TEST(ParseSpec, JsonAndYamlSayTheSame) {
  const auto json = ParseSpec(kJson), yaml = ParseSpec(kYaml);
  ASSERT_TRUE(json) << json.error().message();
  ASSERT_TRUE(yaml) << yaml.error().message();
  EXPECT_EQ(json->SerializeAsString(), yaml->SerializeAsString());
  EXPECT_EQ(yaml->spec().memory().size_bytes(), 536870912);
  EXPECT_EQ(yaml->spec().network_interfaces(0).mac_address(), "52:54:00:00:07:02");
}

TEST(ParseSpec, WhatShowPrintsCanBeReadBack) {
  berth::v1::Guest guest = ParseSpec(kYaml).value();
  guest.set_name("guests/web");
  (*guest.mutable_labels())["number"] = "12";
  for (const std::string& text : {ToYaml(guest), ToJson(guest)}) {
    const auto again = ParseSpec(text);
    ASSERT_TRUE(again) << again.error().message() << text;
    EXPECT_EQ(ToJson(*again), ToJson(guest));
  }
}

TEST(ParseSpec, UnknownFieldsAreNamed) {
  for (const char* text :
       {R"({"cpus": {"vcpu_count": 2, "colour": 1}})", "cpus: {vcpu_count: 2, colour: 1}"}) {
    const auto spec = ParseSpec(text);
    ASSERT_FALSE(spec);
    EXPECT_EQ(spec.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(spec.error().reason(), "INVALID_SPEC");
    EXPECT_NE(spec.error().message().find("colour"), std::string::npos) << spec.error().message();
  }
}

TEST(ParseSpec, WhatIsNeitherIsRefused) {
  for (const char* text : {"", "  \n", "{", "[1, 2]", "just words", "cpus: [", "\x01\x02"}) {
    EXPECT_EQ(ParseSpec(text).error().reason(), "INVALID_SPEC") << text;
  }
}

TEST(ReadSpecFile, NamesTheFileInErrors) {
  EXPECT_EQ(ReadSpecFile("/nonexistent/spec.yaml").error().code(), Code::kNotFound);
  const std::string path = testing::TempDir() + "spec_file_test.json";
  std::ofstream(path) << "{\"colour\": 1}";
  EXPECT_NE(ReadSpecFile(path).error().message().find(path), std::string::npos);
  std::ofstream(path) << std::string(kMaxSpecBytes + 1, ' ');
  EXPECT_NE(ReadSpecFile(path).error().message().find("larger"), std::string::npos);
}

}  // namespace
}  // namespace berth::cli
