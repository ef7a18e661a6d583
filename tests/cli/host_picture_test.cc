#include "cli/host_picture.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

namespace berth::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

HostPicture Sample() {
  const auto host = Parse<berth::v1::Host>(R"(
    nodes { id: 0 memory_total_bytes: 4294967296 distances: [10, 20] }
    nodes { id: 1 memory_total_bytes: 4294967296 distances: [20, 10] }
    cpus { id: 0 online: true core: 0 node: 0 }
    cpus { id: 1 online: true core: 0 node: 0 }
    cpus { id: 2 online: true core: 0 node: 1 socket: 1 dedicated_to: "guests/own" }
    cpus { id: 3 online: true core: 0 node: 1 socket: 1 dedicated_to: "guests/own" }
    cpus { id: 4 online: false core: 1 node: 1 socket: 1 })");
  const auto device = Parse<berth::v1::HostDevice>(
      R"(name: "host/devices/pci-0000-01-10-0" host_node: 1 guest: "guests/own"
         pci { address: "0000:01:10.0" })");
  const auto own = Parse<berth::v1::Guest>(R"(name: "guests/own" placement {
    vcpus { host_cpus: 2 } emulator_cpus: 2 io_cpus: 2
    reserved { dedicated_cpus: [2, 3] nodes { host_node: 1 memory { size_bytes: 1073741824 } } } })");
  const auto shared = Parse<berth::v1::Guest>(R"(name: "guests/a<b" placement {
    vcpus { host_cpus: [0, 1] } emulator_cpus: [0, 1] io_cpus: [0, 1]
    reserved { nodes { host_node: 0 shared_millicpus: 250 } } })");
  return PictureOf(host, {device}, {own, shared});
}

TEST(HostPicture, ShowsWhoSitsWhere) {
  const std::string text = ToText(Sample());
  EXPECT_THAT(text, HasSubstr("node 0   4 GiB, 0 B promised   shared CPUs promised: 0.25   distances 10 20"));
  EXPECT_THAT(text, HasSubstr("socket 0 core 0    cpu 0 (a<b)  cpu 1 (a<b)"));
  EXPECT_THAT(text, HasSubstr("socket 1 core 0    cpu 2 [own/vcpu0 own/io own/emulator]  cpu 3 [own: idle]"));
  EXPECT_THAT(text, HasSubstr("cpu 4 offline"));
  EXPECT_THAT(text, HasSubstr("memory  own 1 GiB"));
  EXPECT_THAT(text, HasSubstr("device  0000:01:10.0 own"));
}

TEST(HostPicture, IsXmlWhateverGuestsAreCalled) {
  const std::string svg = ToSvg(Sample());
  EXPECT_TRUE(svg.starts_with("<svg xmlns=")) << svg.substr(0, 40);
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, Not(HasSubstr("a<b")));
  EXPECT_THAT(svg, HasSubstr("own/vcpu0"));
}

}  // namespace
}  // namespace berth::cli
