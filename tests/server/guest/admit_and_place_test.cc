#include "server/guest/admit_and_place.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "tests/fakes/sample_host.h"
#include "tests/fakes/sample_spec.h"

namespace berth::server {
namespace {

// Two NVMe VFs, 0000:02:00.1 on node 0 and 0000:02:00.2 on node 1, and no CPU left on node 0.
TEST(ResolveAndPlace, ADeviceOfAKindIsChosenWhereThereIsRoom) {
  host::HostSnapshot host = host::SampleHost();
  for (host::PciFunction& function : host.functions) {
    if (function.address.ToString() == "0000:02:00.2") function.numa_node = 1;
  }
  v1::Guest guest;
  guest.set_name("guests/web");
  *guest.mutable_spec() = SampleSpec();
  v1::GuestSpec extra;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(placement { cpu_policy: DEDICATED }
         assigned_devices { pci_selector { id: "1b36:0010" } affinity: REQUIRED })",
      &extra));
  guest.mutable_spec()->MergeFrom(extra);

  const auto free = ResolveAndPlace(host, guest, {}, {}, {}, {}, {});
  ASSERT_TRUE(free) << free.error().message();
  EXPECT_EQ(free->devices[0].address->ToString(), "0000:02:00.1");

  const Ledger ledger{{.guest = "guests/other", .vcpus = 4, .dedicated_cpus = {0, 1, 2, 3}}};
  const auto beside = ResolveAndPlace(host, guest, {}, {}, ledger, {}, {});
  ASSERT_TRUE(beside) << beside.error().message();
  EXPECT_EQ(beside->devices[0].address->ToString(), "0000:02:00.2");
  EXPECT_EQ(beside->placement.AllNodes(), host::CpuSet{1});
}

}  // namespace
}  // namespace berth::server
