// berth-vmm as a process, confined, with guests of a few instructions: whatever a machine does while it runs
// must be among what its threads may ask of the kernel.
#include "tests/vmm/vmm_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"
#include "tests/vmm/tiny_guest.h"
#include "vmm/sandbox.h"

namespace berth::vmm {
namespace {

// mov dx, PORT; mov al, VALUE; out dx, al
std::vector<uint8_t> OutByte(uint16_t port, uint8_t value) {
  return {0x66, 0xba, static_cast<uint8_t>(port), static_cast<uint8_t>(port >> 8), 0xb0, value, 0xee};
}
const std::vector<uint8_t> kForever = {0xf4, 0xeb, 0xfd};  // hlt; jmp to it
const std::vector<uint8_t> kPowerOff = OutByte(0x600, 5 << 2 | 1 << 5);

std::vector<uint8_t> operator+(std::vector<uint8_t> a, const std::vector<uint8_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

v1::Request RunIt() {
  v1::Request request;
  request.mutable_run();
  return request;
}
v1::Request Quit() {
  v1::Request request;
  request.mutable_quit();
  return request;
}

// Names of the process's threads, each with its `Seccomp:` and `NoNewPrivs:` in /proc. A sanitizer's own
// thread is called as the process.
std::set<std::pair<std::string, std::string>> Confinement(pid_t pid) {
  std::set<std::pair<std::string, std::string>> threads;
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  DIR* directory = ::opendir(tasks.c_str());
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream status(tasks + "/" + entry->d_name + "/status");
    std::string name, how;
    for (std::string line; std::getline(status, line);) {
      const std::string value = line.substr(line.find('\t') + 1);
      if (line.starts_with("Name:")) name = value;
      if (line.starts_with("NoNewPrivs:") || line.starts_with("Seccomp:")) how += value;
    }
    threads.emplace(name, how);
  }
  ::closedir(directory);
  return threads;
}

class VmmProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!KvmIsThere()) GTEST_SKIP() << "no /dev/kvm on this host";
  }
};

TEST_F(VmmProcessTest, EveryThreadIsConfinedBeforeTheGuestRuns) {
  auto vmm = *VmmProcess::Create(kForever, [](v1::MachineConfig& config, std::vector<UniqueFd>&) {
    config.mutable_cpus()->set_cores_per_socket(2);
  });
  // Sanitizers need more than any filter allows.
  const std::string how = CanConfine() ? "12" : "00";
  EXPECT_THAT(Confinement(vmm->pid()),
              testing::ElementsAre(testing::Pair("berth-vmm", how), testing::Pair("io0", how),
                                   testing::Pair("vcpu0", how), testing::Pair("vcpu1", how)));
}

TEST_F(VmmProcessTest, AGuestThatPowersOffEndsWell) {
  auto vmm = *VmmProcess::Create(OutByte(0x3f8, 'x') + kPowerOff + kForever);
  ASSERT_TRUE(vmm->Ask(RunIt()));
  EXPECT_TRUE(vmm->Await(v1::Event::STATE_CHANGED, v1::POWERED_OFF));
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

TEST_F(VmmProcessTest, ResetsAndPanicsAreReported) {
  auto vmm = *VmmProcess::Create(OutByte(0x505, 1) + OutByte(0xcf9, 6) + kForever);
  ASSERT_TRUE(vmm->Ask(RunIt()));
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(vmm->Await(v1::Event::GUEST_PANICKED));
    EXPECT_TRUE(vmm->Await(v1::Event::GUEST_RESET));
  }
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

// The vCPU's own thread looks where it was: its filter must let it.
TEST_F(VmmProcessTest, TripleFaultsAreReported) {
  // lidt of an empty table, then an undefined instruction.
  auto vmm =
      *VmmProcess::Create({0x0f, 0x01, 0x1d, 0x0a, 0x00, 0x10, 0x00, 0x0f, 0x0b, 0x90, 0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(vmm->Ask(RunIt()));
  for (int round = 0; round < 3; ++round) EXPECT_TRUE(vmm->Await(v1::Event::GUEST_RESET));
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

TEST_F(VmmProcessTest, EveryRequestIsAnswered) {
  auto vmm = *VmmProcess::Create(OutByte(0x3f8, 'x') + std::vector<uint8_t>{0xeb, 0xf7});  // Again and again.
  ASSERT_TRUE(vmm->Ask(RunIt()));
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  v1::Request attach, pause, power_button, reset, describe, counters, trace;
  attach.mutable_attach_console()->set_stream_fd(0);
  EXPECT_TRUE(vmm->Ask(attach, {theirs.get()}));
  theirs.Reset();
  char printed = 0;
  EXPECT_EQ(::read(ours.get(), &printed, 1), 1);
  EXPECT_EQ(printed, 'x');
  EXPECT_EQ(::write(ours.get(), "typed", 5), 5);

  trace.mutable_enable_trace()->set_pattern("*");
  trace.mutable_enable_trace()->set_enabled(false);
  EXPECT_GT(vmm->Ask(trace)->traced().matched(), 30u) << "of all rooms that the monitor has";
  power_button.mutable_power_button();
  EXPECT_TRUE(vmm->Ask(power_button));
  describe.mutable_describe();
  EXPECT_EQ(vmm->Ask(describe)->description().pid(), vmm->pid());
  counters.mutable_read_counters();
  EXPECT_GT(vmm->Ask(counters)->counters().counters_size(), 0);
  pause.mutable_pause();
  EXPECT_TRUE(vmm->Ask(pause));
  EXPECT_TRUE(vmm->Ask(RunIt()));
  reset.mutable_reset_machine();
  EXPECT_TRUE(vmm->Ask(reset));
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

TEST_F(VmmProcessTest, TheBalloonIsRead) {
  auto vmm = *VmmProcess::Create(kForever, [](v1::MachineConfig& config, std::vector<UniqueFd>&) {
    config.mutable_memory_nodes(0)->set_mergeable(true);
    config.add_devices()->mutable_balloon();
  });
  v1::Request set, read;
  set.mutable_set_balloon()->set_size_bytes(1 << 20);
  ASSERT_TRUE(vmm->Ask(set));
  read.mutable_read_balloon();
  const auto reply = vmm->Ask(read);
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->balloon().target_bytes(), 1u << 20);
  EXPECT_EQ(reply->balloon().actual_bytes(), 0u);
  EXPECT_EQ(reply->balloon().answers(), 0u);  // There is no driver.
  EXPECT_FALSE(reply->balloon().has_available_bytes());

  auto without = *VmmProcess::Create(kForever);
  EXPECT_EQ(without->Ask(read).error().code(), Code::kFailedPrecondition);
}

// With a stream, which its user gets once somebody in the guest is at the other end.
TEST_F(VmmProcessTest, AnAgentIsReachedWhereThereIsOne) {
  const auto attach = [](VmmProcess& vmm) {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const UniqueFd ours(pair[0]), theirs(pair[1]);
    v1::Request request;
    request.mutable_attach_agent()->set_stream_fd(0);
    const auto reply = vmm.Ask(request, {theirs.get()});
    return reply ? "attached" : reply.error().message();
  };
  auto without = *VmmProcess::Create(kForever);
  EXPECT_EQ(attach(*without), "the machine has no port for an agent");
  auto vmm = *VmmProcess::Create(kForever, [](v1::MachineConfig& config, std::vector<UniqueFd>&) {
    v1::DeviceConfig* device = config.add_devices();
    device->set_id("agent");
    device->mutable_virtio_console()->set_agent(true);
    device->mutable_virtio_console()->set_no_console(true);
  });
  ASSERT_TRUE(vmm->Ask(RunIt()));
  EXPECT_THAT(attach(*vmm), testing::StartsWith("nobody in the guest has the agent's port open"));
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

// A unit of 1 MiB.
v1::ScsiUnit* AddUnit(const std::string& id, v1::ScsiController* controller, std::vector<UniqueFd>& fds) {
  v1::ScsiUnit* unit = controller->add_units();
  unit->set_id(id);
  unit->mutable_disk()->set_image_fd(static_cast<uint32_t>(fds.size()));
  fds.emplace_back(::memfd_create("image", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fds.back().get(), 1 << 20), 0);
  return unit;
}

TEST_F(VmmProcessTest, DisksOfEveryKindGrowAndAreLimited) {
  auto vmm = *VmmProcess::Create(kForever, [](v1::MachineConfig& config, std::vector<UniqueFd>& fds) {
    v1::DeviceConfig* block = config.add_devices();
    block->set_id("one");
    block->mutable_block()->set_image_fd(static_cast<uint32_t>(fds.size()));
    fds.emplace_back(::memfd_create("image", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(fds.back().get(), 1 << 20), 0);
    v1::DeviceConfig* scsi = config.add_devices();
    scsi->set_id("scsi");
    AddUnit("other", scsi->mutable_scsi(), fds);
    AddUnit("two", scsi->mutable_scsi(), fds);
  });
  for (const char* id : {"one", "two"}) {
    v1::Request grow, limit;
    grow.mutable_grow_disk()->set_id(id);
    grow.mutable_grow_disk()->set_size_bytes(2 << 20);
    limit.mutable_set_disk_limits()->set_id(id);
    limit.mutable_set_disk_limits()->mutable_limits()->set_bytes(1 << 20);
    EXPECT_TRUE(vmm->Ask(grow)) << id;
    EXPECT_TRUE(vmm->Ask(limit)) << id;
  }
  v1::Request describe, unknown;
  describe.mutable_describe();
  unknown.mutable_grow_disk()->set_id("scsi");
  EXPECT_EQ(vmm->Ask(unknown).error().code(), Code::kNotFound);
  const auto reply = vmm->Ask(describe);
  ASSERT_TRUE(reply) << reply.error().message();
  const auto& devices = reply->description().machine().devices();
  for (const v1::BlockDevice& disk : {devices[0].block(), devices[1].scsi().units(1).disk()}) {
    EXPECT_EQ(disk.size_bytes(), 2u << 20);
    EXPECT_EQ(disk.limits().bytes(), 1u << 20);
  }
  EXPECT_EQ(devices[1].scsi().units(0).disk().size_bytes(), 0u);
}

TEST_F(VmmProcessTest, AllKindsOfDevicesAreBuiltAndReset) {
  const auto add = [](v1::MachineConfig& config, std::vector<UniqueFd>& fds) {
    UniqueFd image(::memfd_create("image", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(image.get(), 1 << 20), 0);
    v1::DeviceConfig* disk = config.add_devices();
    disk->set_id("disk");
    disk->mutable_block()->set_image_fd(static_cast<uint32_t>(fds.size()));
    fds.push_back(std::move(image));
    v1::DeviceConfig* scsi = config.add_devices();
    scsi->set_id("scsi");
    AddUnit("data", scsi->mutable_scsi(), fds);
    AddUnit("cd", scsi->mutable_scsi(), fds)->set_cd_rom(true);
    config.add_devices()->mutable_rng();
    config.add_devices()->mutable_balloon();
    config.add_devices()->mutable_virtio_console()->set_agent(true);
  };
  auto vmm = *VmmProcess::Create(OutByte(0xcf9, 6) + kForever, add);
  ASSERT_TRUE(vmm->Ask(RunIt()));
  EXPECT_TRUE(vmm->Await(v1::Event::GUEST_RESET));
  EXPECT_TRUE(vmm->Await(v1::Event::GUEST_RESET));
  v1::Request read_counters;
  read_counters.mutable_read_counters();
  std::set<std::string> names;
  const auto reply = vmm->Ask(read_counters);
  ASSERT_TRUE(reply);
  for (const auto& counter : reply->counters().counters()) names.insert(counter.name());
  EXPECT_THAT(names, testing::IsSupersetOf({"vcpu0/exits", "disk/read_bytes", "scsi/kicks", "data/read_bytes",
                                            "cd/read_bytes", "ports/unclaimed"}));
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);
}

void CreateImage(const ScratchDir& scratch, const std::string& name, const std::string& more = "") {
  block::CreateOptions options(block::kQcow2Format.create_options);
  ASSERT_TRUE(options.SetAll(more));
  ASSERT_TRUE(options.Set("size", "1M"));
  ASSERT_TRUE(block::kQcow2Format.create(scratch / name, options));
}

// While the process is confined: what comes as descriptors is opened, and written to.
TEST_F(VmmProcessTest, WhatADiskStandsOnIsChanged) {
  const ScratchDir scratch;
  CreateImage(scratch, "base");
  CreateImage(scratch, "top", "backing_file=base,backing_fmt=qcow2");
  {
    const auto base = block::OpenImage(scratch / "base", "qcow2", {.writable = true});
    ASSERT_EQ(block::Write(base->get(), 0, std::vector<uint8_t>(300'000, 7)), 0);
  }
  const auto add = [&](v1::MachineConfig& config, std::vector<UniqueFd>& fds) {
    v1::DeviceConfig* disk = config.add_devices();
    disk->set_id("disk");
    disk->mutable_block()->set_format("qcow2");
    disk->mutable_block()->set_volume("base");
    disk->mutable_block()->set_image_fd(static_cast<uint32_t>(fds.size()));
    fds.push_back(*Open(scratch / "base", O_RDWR));
  };
  auto vmm = *VmmProcess::Create(kForever, add);
  ASSERT_TRUE(vmm->Ask(RunIt()));
  const auto volume = [&] {
    v1::Request describe;
    describe.mutable_describe();
    return vmm->Ask(describe)->description().machine().devices(0).block().volume();
  };
  const auto exchange = [&](bool writable) {
    const UniqueFd top = *Open(scratch / "top", O_RDWR);
    const UniqueFd base = *Open(scratch / "base", writable ? O_RDWR : O_RDONLY);
    v1::Request request;
    request.mutable_exchange_disk()->set_id("disk");
    v1::BlockDevice* const image = request.mutable_exchange_disk()->mutable_image();
    image->set_format("qcow2");
    image->set_volume("top");
    image->add_beneath()->set_image_fd(1);
    image->mutable_beneath(0)->set_format("qcow2");
    image->mutable_beneath(0)->set_writable(writable);
    return vmm->Ask(request, {top.get(), base.get()});
  };
  const auto run_job = [&](v1::StartDiskJob::Kind kind, const std::string& becomes) {
    v1::Request start, read, end;
    start.mutable_start_disk_job()->set_id("disk");
    start.mutable_start_disk_job()->set_kind(kind);
    read.mutable_read_disk_job()->set_id("disk");
    end.mutable_end_disk_job()->set_id("disk");
    end.mutable_end_disk_job()->set_complete(true);
    end.mutable_end_disk_job()->set_volume(becomes);
    ASSERT_TRUE(vmm->Ask(start));
    EXPECT_EQ(exchange(false).error().code(), Code::kFailedPrecondition) << "busy";
    while (true) {
      const auto job = vmm->Ask(read);
      ASSERT_TRUE(job) << job.error().message();
      if (job->disk_job().ready()) break;
    }
    const auto ended = vmm->Ask(end);
    ASSERT_TRUE(ended) << ended.error().message();
  };

  v1::Request snapshot;
  snapshot.mutable_change_snapshot()->set_id("disk");
  snapshot.mutable_change_snapshot()->set_name("then");
  EXPECT_TRUE(vmm->Ask(snapshot));
  EXPECT_EQ(volume(), "base");
  v1::Request record, read_records;
  record.mutable_change_bitmap()->set_id("disk");
  record.mutable_change_bitmap()->set_name("monday");
  record.mutable_change_bitmap()->set_granularity_bytes(4096);
  read_records.mutable_read_bitmaps()->set_id("disk");
  EXPECT_TRUE(vmm->Ask(record));
  EXPECT_EQ(vmm->Ask(record).error().code(), Code::kAlreadyExists);
  {
    const auto records = vmm->Ask(read_records);
    ASSERT_TRUE(records) << records.error().message();
    ASSERT_EQ(records->bitmaps().bitmaps_size(), 1);
    EXPECT_EQ(records->bitmaps().bitmaps(0).name(), "monday");
    EXPECT_EQ(records->bitmaps().bitmaps(0).granularity_bytes(), 4096u);
  }
  record.mutable_change_bitmap()->set_remove(true);
  EXPECT_TRUE(vmm->Ask(record));
  EXPECT_EQ(vmm->Ask(read_records)->bitmaps().bitmaps_size(), 0);
  ASSERT_TRUE(exchange(true));
  EXPECT_EQ(volume(), "top");
  run_job(v1::StartDiskJob::COMMIT, "base");
  EXPECT_EQ(volume(), "base");
  ASSERT_TRUE(exchange(false));
  run_job(v1::StartDiskJob::STREAM, "top");
  EXPECT_EQ(volume(), "top");
  v1::Request mirror, read_job, end;
  mirror.mutable_start_disk_job()->set_id("disk");
  mirror.mutable_start_disk_job()->set_kind(v1::StartDiskJob::MIRROR);
  mirror.mutable_start_disk_job()->mutable_target()->set_format("raw");
  read_job.mutable_read_disk_job()->set_id("disk");
  end.mutable_end_disk_job()->set_id("disk");
  end.mutable_end_disk_job()->set_complete(true);
  end.mutable_end_disk_job()->set_volume("copy");
  end.mutable_end_disk_job()->set_mark_fd_plus_one(1);
  {
    const UniqueFd copy = *Open(scratch / "copy", O_RDWR | O_CREAT, 0600);
    const UniqueFd mark = *Open(scratch / "mark", O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::ftruncate(copy.get(), 1 << 20), 0);
    ASSERT_TRUE(vmm->Ask(mirror, {copy.get()}));
    while (!vmm->Ask(read_job)->disk_job().ready()) {
    }
    const auto ended = vmm->Ask(end, {mark.get()});
    ASSERT_TRUE(ended) << ended.error().message();
  }
  EXPECT_EQ(volume(), "copy");
  EXPECT_EQ(std::filesystem::file_size(scratch / "mark"), 1u);
  snapshot.mutable_change_snapshot()->set_id("none");
  EXPECT_EQ(vmm->Ask(snapshot).error().code(), Code::kNotFound);
  EXPECT_TRUE(vmm->Ask(Quit()));
  EXPECT_EQ(vmm->Wait(), 0);

  std::filesystem::remove(scratch / "base");
  for (const auto& [name, format] : {std::pair("top", "qcow2"), {"copy", "raw"}}) {
    const auto image = block::OpenImage(scratch / name, format, {});
    ASSERT_TRUE(image) << image.error().message();
    std::vector<uint8_t> read(300'000);
    EXPECT_EQ(block::Read(image->get(), 0, read), 0);
    EXPECT_EQ(read, std::vector<uint8_t>(300'000, 7)) << name;
  }
}

}  // namespace
}  // namespace berth::vmm
