#include "server/api/device_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::server {
namespace {

using testing::ElementsAre;
using Told = v1::WatchHostDevicesResponse;

v1::HostDevice Device(const std::string& name, const std::string& driver = "") {
  v1::HostDevice device;
  device.set_name(name);
  device.set_driver(driver);
  return device;
}

std::vector<std::string> Lines(const std::vector<Told>& all) {
  std::vector<std::string> lines;
  for (const Told& told : all) {
    lines.push_back(Told::Kind_Name(told.kind()) + (told.has_device() ? " " + told.device().name() : ""));
  }
  return lines;
}

TEST(DeviceWatch, TellsEverythingOnceThenWhatChanges) {
  DeviceWatch watch;
  EXPECT_THAT(Lines(watch.Update({Device("b"), Device("a")})), ElementsAre("ADDED a", "ADDED b", "SYNCED"));
  EXPECT_THAT(Lines(watch.Update({Device("a"), Device("b")})), ElementsAre());
  const auto changed = watch.Update({Device("a", "vfio-pci"), Device("b")});
  EXPECT_THAT(Lines(changed), ElementsAre("CHANGED a"));
  EXPECT_EQ(changed[0].device().driver(), "vfio-pci");
  EXPECT_THAT(Lines(watch.Update({Device("b"), Device("c")})), ElementsAre("REMOVED a", "ADDED c"));
}

TEST(DeviceWatch, WhatWasRemovedIsToldAsItWas) {
  DeviceWatch watch;
  (void)watch.Update({Device("a", "igb")});
  EXPECT_EQ(watch.Update({})[0].device().driver(), "igb");
}

TEST(DeviceWatch, OfNothingThereIsNothingToTell) {
  DeviceWatch watch;
  EXPECT_THAT(Lines(watch.Update({})), ElementsAre("SYNCED"));
  EXPECT_THAT(Lines(watch.Update({})), ElementsAre());
}

}  // namespace
}  // namespace berth::server
