#include "server/guest/mdev_quota.h"

#include <gmock/gmock.h>

namespace berth::server {
namespace {

TEST(MdevQuota, IsATypeAndANumber) {
  EXPECT_EQ(*ParseMdevQuotas({"nvidia-558=4", "mtty-1=0"}), (MdevQuotas{{"mtty-1", 0}, {"nvidia-558", 4}}));
  for (const char* text :
       {"", "=1", "nvidia-558", "nvidia-558=", "nvidia-558=-1", "nvidia-558=1x", "x=99999999999"}) {
    const auto quotas = ParseMdevQuotas({text});
    ASSERT_FALSE(quotas) << text;
    EXPECT_EQ(quotas.error().reason(), "BAD_OPTION");
  }
}

TEST(MdevQuota, CountsWhatIsThereOnAllParents) {
  host::HostSnapshot host;
  for (const char* name : {"a", "b"}) {
    host.mdev_parents.push_back({.name = name});
    host.mdev_parents.back().types = {{.id = "x", .available_instances = 8},
                                      {.id = "y", .available_instances = 8}};
  }
  host.mdevs = {{.uuid = "1", .parent = "a", .type = "x"}, {.uuid = "2", .parent = "b", .type = "y"}};
  ApplyMdevQuotas({{"x", 3}}, &host);
  EXPECT_EQ(host.mdev_parents[0].types[0].available_instances, 2);
  EXPECT_EQ(host.mdev_parents[1].types[0].available_instances, 2);
  EXPECT_EQ(host.mdev_parents[0].types[1].available_instances, 8);
  ApplyMdevQuotas({{"x", 0}}, &host);
  EXPECT_EQ(host.mdev_parents[1].types[0].available_instances, 0);
}

TEST(MdevQuota, AVendorsVgpuCountsAsOne) {
  host::HostSnapshot host;
  for (int current : {0, 558}) {
    host.functions.emplace_back();
    host.functions.back().vgpu = {.current_type = current};
  }
  host.functions[0].vgpu->creatable_types = {{.id = 558}, {.id = 559}};
  ApplyMdevQuotas({{"nvidia-558", 2}}, &host);
  EXPECT_THAT(host.functions[0].vgpu->creatable_types, testing::SizeIs(2));
  ApplyMdevQuotas({{"nvidia-558", 1}}, &host);
  EXPECT_EQ(host.functions[0].vgpu->creatable_types, (std::vector<host::VgpuType>{{.id = 559}}));
}

}  // namespace
}  // namespace berth::server
