// Volumes with content: imported, cloned, made larger; and the room that a pool may promise.
#include <future>
#include <mutex>

#include "block/driver.h"
#include "block/open.h"
#include "server/volume/pools.h"
#include "server/volume/volume_making.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Of 1 MiB of 'x'.
constexpr char kDigestOfX[] = "8f990ba0b577b51cf009ea049368c16bbda1b21e1b93be07a824758bb253c39b";

class VolumeCopy : public VolumeFixture {
 protected:
  // An image with 'x' in its second MiB.
  std::string MakeImage(const block::Format& format, const std::string& more = "", uint64_t size = 4 << 20) {
    std::string path = scratch_ / "image." + std::string(format.name);
    block::CreateOptions options(format.create_options);
    EXPECT_TRUE(options.SetAll(more));
    EXPECT_TRUE(options.Set("size", std::to_string(size)));
    const Status created = format.create(path, options);
    EXPECT_TRUE(created) << created.error().message();
    WriteX(path, std::string(format.name));
    return path;
  }
  static void WriteX(const std::string& path, const std::string& format) {
    const auto image = block::OpenImage(path, format, {.writable = true});
    ASSERT_TRUE(image) << image.error().message();
    ASSERT_EQ(block::Write(image->get(), kMiB, std::vector<uint8_t>(kMiB, 'x')), 0);
    ASSERT_EQ(block::Flush(image->get()), 0);
  }
  // Whether the file, of a volume, has what MakeImage's has.
  void ExpectX(const std::string& file, const std::string& format, uint64_t size = 4 << 20) {
    const auto image = block::OpenImage(Pool() + "/" + file, format, {});
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ((*image)->size_bytes(), size);
    std::vector<uint8_t> bytes(size), expected(size);
    std::fill_n(expected.begin() + kMiB, kMiB, 'x');
    ASSERT_EQ(block::Read(image->get(), 0, bytes), 0);
    EXPECT_TRUE(bytes == expected) << file;
  }

  static v1::ImportVolumeRequest ImportOf(const std::string& path, const std::string& source_format = "") {
    v1::ImportVolumeRequest request;
    request.set_parent("pools/main");
    request.set_volume_id("a");
    request.set_source_path(path);
    request.set_source_format(source_format);
    return request;
  }
  Result<v1::Volume> Import(const v1::ImportVolumeRequest& request) {
    return Make(&v1::VolumeService::Stub::ImportVolume, request);
  }
  std::string ReasonOf(const v1::ImportVolumeRequest& request) {
    const auto made = Import(request);
    return made ? "imported" : made.error().reason();
  }
  Result<v1::Volume> Resize(const std::string& id, int64_t size_bytes) {
    v1::ResizeVolumeRequest request;
    request.set_name(Name(id));
    request.set_size_bytes(size_bytes);
    return Make(&v1::VolumeService::Stub::ResizeVolume, request);
  }
  Result<Operation> Await(const Result<Operation>& started) {
    if (!started) return Fail(started.error());
    return AwaitOperation(*started);
  }
  Result<v1::Volume> Clone(const v1::CloneVolumeRequest& request) {
    return Make(&v1::VolumeService::Stub::CloneVolume, request);
  }
};

TEST_F(VolumeCopy, ImagesOfEveryFormatAreImported) {
  for (const block::Format* format :
       {&block::kQcow2Format, &block::kVmdkFormat, &block::kVdiFormat, &block::kVhdxFormat}) {
    const auto imported = Import(ImportOf(MakeImage(*format)));
    ASSERT_TRUE(imported) << format->name << ": " << imported.error().message();
    EXPECT_EQ(imported->format(), v1::Volume::QCOW2);
    ExpectX("a.qcow2", "qcow2");
    EXPECT_LT(imported->allocated_bytes(), 2 * kMiB) << "what is zero takes no room";
    ASSERT_TRUE(DeleteVolume(Name("a")));
  }
}

TEST_F(VolumeCopy, AnImportMayBeRawAndLarger) {
  v1::ImportVolumeRequest request = ImportOf(MakeImage(block::kQcow2Format));
  request.set_format(v1::Volume::RAW);
  request.set_size_bytes(8 * kMiB);
  ASSERT_TRUE(Import(request));
  ExpectX("a.raw", "raw", 8 << 20);
  EXPECT_EQ(ReasonOf(request), "VOLUME_EXISTS");
}

TEST_F(VolumeCopy, ADigestIsHeldAgainstTheBytesAsTheyAreStored) {
  v1::ImportVolumeRequest request = ImportOf(scratch_.Write("x.raw", std::string(kMiB, 'x')), "raw");
  std::string digest = kDigestOfX;
  request.set_source_sha256(digest);
  EXPECT_EQ(ReasonOf(request), "imported");
  ASSERT_TRUE(DeleteVolume(Name("a")));
  digest[0] = '9';
  request.set_source_sha256(digest);
  const auto refused = Import(request);
  EXPECT_EQ(refused.error().reason(), "DIGEST_MISMATCH");
  EXPECT_THAT(refused.error().message(), HasSubstr(kDigestOfX)) << "what it is";
  EXPECT_THAT(FilesOf(), IsEmpty());
  for (const std::string& bad : {std::string("1234"), std::string(64, 'g'), digest + "0"}) {
    request.set_source_sha256(bad);
    EXPECT_EQ(Import(request).error().field(), "source_sha256") << bad;
  }
}

// A guest can make its raw disk look like any image: nobody guesses that it is none, nor that it is one.
TEST_F(VolumeCopy, RawIsOnlyWhatIsCalledSo) {
  const std::string plain = scratch_.Write("plain", std::string(kMiB, 'x'));
  const auto refused = Import(ImportOf(plain));
  EXPECT_EQ(refused.error().reason(), "FORMAT_NOT_FOUND");
  EXPECT_EQ(refused.error().field(), "source_format");
  EXPECT_EQ(ReasonOf(ImportOf(plain, "raw")), "imported");
  ASSERT_TRUE(DeleteVolume(Name("a")));
  const std::string disguised = MakeImage(block::kQcow2Format, "backing_file=/etc/passwd,backing_fmt=raw");
  v1::ImportVolumeRequest request = ImportOf(disguised, "raw");
  request.set_format(v1::Volume::RAW);
  ASSERT_EQ(ReasonOf(request), "imported");
  EXPECT_EQ(std::filesystem::file_size(Pool() + "/a.raw"), std::filesystem::file_size(disguised));
}

TEST_F(VolumeCopy, AnImageThatNamesOtherFilesIsNotImported) {
  const std::string base = scratch_.Write("base", std::string(4 * kMiB, 'b'));
  EXPECT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format, "backing_file=" + base + ",backing_fmt=raw"))),
            "IMAGE_NAMES_OTHER_FILE");
  std::filesystem::remove(scratch_ / "image.qcow2");
  EXPECT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format, "data_file=" + scratch_ / "data"))),
            "IMAGE_NAMES_OTHER_FILE");
  EXPECT_EQ(ReasonOf(ImportOf(MakeImage(block::kVmdkFormat, "subformat=monolithicFlat"))),
            "IMAGE_NAMES_OTHER_FILE");
  EXPECT_THAT(FilesOf(), IsEmpty());
}

TEST_F(VolumeCopy, ImagesThatLieAreRefused) {
  const std::string path = MakeImage(block::kQcow2Format);
  const auto with = [&](size_t offset, std::vector<uint8_t> bytes) {
    const std::string lie = scratch_ / "lie.qcow2";
    std::filesystem::copy_file(path, lie, std::filesystem::copy_options::overwrite_existing);
    std::fstream file(lie, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    return ReasonOf(ImportOf(lie));
  };
  EXPECT_EQ(with(24, {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x00}), "IMAGE_MALFORMED") << "size";
  EXPECT_EQ(with(36, {0xff, 0xff, 0xff, 0xff}), "IMAGE_MALFORMED") << "L1 entries";
  EXPECT_EQ(with(20, {0, 0, 0, 63}), "IMAGE_MALFORMED") << "cluster bits";
  EXPECT_EQ(with(40, {0, 0, 0, 0, 0, 0, 0, 1}), "IMAGE_MALFORMED") << "L1 table at an odd place";
  EXPECT_THAT(FilesOf(), IsEmpty());
  // What is found only when the content is read.
  const auto l1 = block::OpenImage(path, "raw", {});
  std::vector<uint8_t> at(8);
  ASSERT_EQ(block::Read(l1->get(), 40, at), 0);
  const size_t l1_offset = static_cast<size_t>(at[5]) << 16 | static_cast<size_t>(at[6]) << 8 | at[7];
  const auto broken = with(l1_offset, {0x80, 0, 0, 0, 0, 1, 2, 0});
  EXPECT_NE(broken, "imported") << "L2 table at an odd place";
  EXPECT_THAT(FilesOf(), IsEmpty());
}

TEST_F(VolumeCopy, ASourceHasToBeAFileThatNobodyWrites) {
  EXPECT_EQ(ReasonOf(ImportOf(scratch_ / "none")), "IMAGE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(ImportOf("/dev/zero", "raw")), "IMAGE_NOT_A_FILE");
  EXPECT_EQ(Import(ImportOf("relative")).error().field(), "source_path");
  const std::string path = MakeImage(block::kQcow2Format);
  EXPECT_EQ(ReasonOf(ImportOf(path, "luks")), "IMAGE_FORMAT_NOT_SUPPORTED");
  const auto writer = block::OpenImage(path, "qcow2", {.writable = true});
  EXPECT_EQ(ReasonOf(ImportOf(path)), "IMAGE_IN_USE");
}

TEST_F(VolumeCopy, AFullCloneStandsAlone) {
  ASSERT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format))), "imported");
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "a"));
  v1::CloneVolumeRequest request;
  request.set_name(Name("top"));
  request.set_volume_id("copy");
  request.set_full(true);
  request.set_format(v1::Volume::RAW);
  const auto copy = Clone(request);
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_EQ(copy->base(), "");
  ExpectX("copy.raw", "raw");
  request.set_parent("pools/other");
  request.clear_format();
  const auto other = Clone(request);
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_EQ(other->name(), Name("copy", "other"));
  EXPECT_EQ(other->format(), v1::Volume::QCOW2);
  request.set_size_bytes(kMiB);
  request.set_volume_id("small");
  EXPECT_EQ(Clone(request).error().field(), "size_bytes");
}

TEST_F(VolumeCopy, AnotherCloneStandsOnWhatItIsACloneOf) {
  ASSERT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format))), "imported");
  v1::CloneVolumeRequest request;
  request.set_name(Name("a"));
  request.set_volume_id("b");
  const auto clone = Clone(request);
  ASSERT_TRUE(clone) << clone.error().message();
  EXPECT_EQ(clone->base(), Name("a"));
  ExpectX("b@a.qcow2", "qcow2");
  request.set_volume_id("c");
  request.set_parent("pools/other");
  EXPECT_EQ(Clone(request).error().field(), "parent");
}

TEST_F(VolumeCopy, VolumesGrowAndDoNotShrink) {
  ASSERT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format))), "imported");
  v1::CreateVolumeRequest small = NewVolume("raw", kMiB, v1::Volume::RAW);
  ASSERT_TRUE(CreateVolume(small));
  EXPECT_EQ(Resize("raw", 3 * kMiB)->size_bytes(), 3 * kMiB);
  EXPECT_EQ(Resize("a", 6 * kMiB)->size_bytes(), 6 * kMiB);
  ExpectX("a.qcow2", "qcow2", 6 << 20);
  EXPECT_EQ(Resize("a", 6 * kMiB)->size_bytes(), 6 * kMiB) << "as it is";
  for (const int64_t size : {int64_t{0}, 4 * kMiB, 6 * kMiB + 1})
    EXPECT_EQ(Resize("a", size).error().field(), "size_bytes") << size;
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "a"));
  EXPECT_EQ(Resize("top", 8 * kMiB)->size_bytes(), 8 * kMiB);
  ExpectX("top@a.qcow2", "qcow2", 8 << 20);
  EXPECT_EQ(Resize("a", 8 * kMiB).error().reason(), "VOLUME_HAS_DEPENDENTS");
}

TEST_F(VolumeCopy, AVolumeKeepsItsStates) {
  ASSERT_EQ(ReasonOf(ImportOf(MakeImage(block::kQcow2Format))), "imported");
  v1::CreateVolumeSnapshotRequest create;
  create.set_parent(Name("a"));
  create.set_snapshot_id("before");
  ASSERT_TRUE(Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, create)));
  EXPECT_EQ(Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, create)).error().reason(),
            "SNAPSHOT_EXISTS");
  {
    const auto image = block::OpenImage(Pool() + "/a.qcow2", "qcow2", {.writable = true});
    ASSERT_EQ(block::Write(image->get(), 0, std::vector<uint8_t>(3 * kMiB, 'y')), 0);
    EXPECT_EQ(Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, create)).error().reason(),
              "IMAGE_IN_USE");
  }
  v1::ListVolumeSnapshotsRequest list;
  list.set_parent(Name("a"));
  const auto snapshots = Call(&v1::VolumeService::Stub::ListVolumeSnapshots, list);
  ASSERT_EQ(snapshots->snapshots_size(), 1);
  const v1::VolumeSnapshot& before = snapshots->snapshots(0);
  EXPECT_EQ(before.name(), Name("a") + "/snapshots/before");
  EXPECT_EQ(before.size_bytes(), 4 * kMiB);
  EXPECT_GT(before.create_time().seconds(), 0);

  v1::ApplyVolumeSnapshotRequest apply;
  apply.set_name(before.name());
  ASSERT_TRUE(Await(Call(&v1::VolumeService::Stub::ApplyVolumeSnapshot, apply)));
  ExpectX("a.qcow2", "qcow2");
  v1::DeleteVolumeSnapshotRequest deletion;
  deletion.set_name(before.name());
  ASSERT_TRUE(Await(Call(&v1::VolumeService::Stub::DeleteVolumeSnapshot, deletion)));
  EXPECT_EQ(Await(Call(&v1::VolumeService::Stub::ApplyVolumeSnapshot, apply)).error().reason(),
            "SNAPSHOT_NOT_FOUND");
  EXPECT_EQ(Call(&v1::VolumeService::Stub::ListVolumeSnapshots, list)->snapshots_size(), 0);
  const auto image = block::OpenImage(Pool() + "/a.qcow2", "qcow2", {});
  EXPECT_EQ(dynamic_cast<block::FormatImage*>(image->get())->Check({})->corruptions, 0u);
}

TEST_F(VolumeCopy, NotEveryVolumeHasStates) {
  ASSERT_TRUE(CreateVolume("raw", kMiB, v1::Volume::RAW));
  ASSERT_TRUE(CreateVolume("base", kMiB));
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "base"));
  v1::CreateVolumeSnapshotRequest create;
  create.set_snapshot_id("one");
  const auto reason = [&](const std::string& id) {
    create.set_parent(Name(id));
    const auto made = Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, create));
    return made ? "made" : made.error().reason();
  };
  EXPECT_EQ(reason("raw"), "SNAPSHOTS_NOT_SUPPORTED");
  EXPECT_EQ(reason("none"), "VOLUME_NOT_FOUND");
  EXPECT_EQ(reason("base"), "VOLUME_HAS_DEPENDENTS") << "its content is theirs";
  EXPECT_EQ(reason("top"), "made");
  for (const std::string id : {"", "..", "A", "a/b"}) {
    create.set_snapshot_id(id);
    create.set_parent(Name("top"));
    EXPECT_EQ(Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, create)).error().field(),
              "snapshot_id")
        << id;
  }
  v1::ApplyVolumeSnapshotRequest apply;
  apply.set_name(Name("top") + "/snapshots/../x");
  EXPECT_EQ(Call(&v1::VolumeService::Stub::ApplyVolumeSnapshot, apply).error().field(), "name");
}

TEST_F(VolumeCopy, WhileAGuestRunsItsMonitorMakesItLarger) {
  for (const char* behaviour : {"", "fail=grow_disk:CANNOT_GROW"}) {
    ASSERT_TRUE(CreateVolume("web", kMiB));
    v1::CreateGuestRequest request = GuestWith("web", Name("web"));
    request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line(behaviour);
    request.set_start(true);
    ASSERT_TRUE(Create(request));
    const auto resized = Resize("web", 2 * kMiB);
    if (*behaviour == '\0') {
      EXPECT_TRUE(resized) << resized.error().message();
    } else {
      EXPECT_EQ(resized.error().reason(), "CANNOT_GROW");
    }
    ASSERT_TRUE(Delete("guests/web", true));
    ASSERT_TRUE(DeleteVolume(Name("web")));
  }
}

TEST_F(VolumeCopy, APoolPromisesNoMoreThanItsRatioAllows) {
  v1::GetPoolRequest pool;
  pool.set_name("pools/main");
  const auto capacity = static_cast<double>(Call(&v1::VolumeService::Stub::GetPool, pool)->capacity_bytes());
  pools_[1].overcommit_ratio = 10.5 * kMiB / capacity;
  StartDaemonAgain();
  ASSERT_TRUE(CreateVolume("a", 8 * kMiB));
  const auto refused = CreateVolume("b", 4 * kMiB);
  EXPECT_EQ(refused.error().reason(), "POOL_FULL");
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("0.008 GiB promised + 0.004 GiB asked = 0.012 GiB"));
  EXPECT_EQ(Resize("a", 12 * kMiB).error().reason(), "POOL_FULL");
  EXPECT_TRUE(CreateVolume("b", 2 * kMiB));
  v1::ImportVolumeRequest import = ImportOf(scratch_.Write("x", std::string(kMiB, 'x')), "raw");
  import.set_volume_id("c");
  EXPECT_EQ(ReasonOf(import), "POOL_FULL");
  ASSERT_TRUE(DeleteVolume(Name("a")));
  EXPECT_EQ(ReasonOf(import), "imported");
}

// Its first read waits until it is told to go on.
class SlowImage final : public block::Image {
 public:
  uint64_t size_bytes() const override { return 64 << 20; }
  const block::Limits& limits() const override { return limits_; }
  int Perform(const block::Request&) override {
    std::call_once(once_, [this] {
      began.set_value();
      go_on.get_future().wait();
    });
    return 0;
  }
  std::promise<void> began, go_on;

 private:
  const block::Limits limits_{};
  std::once_flag once_;
};

TEST(VolumeMaking, LeavesNothingWhenItIsCancelled) {
  const ScratchDir scratch;
  const auto database = *Database::Open(":memory:");
  OperationTable table(*database);
  OperationRunner runner(table);
  SlowImage source;
  VolumePlan plan{
      .name = {"main", "a"}, .file = {.id = "a", .base = "", .format = "qcow2"}, .size_bytes = 64 << 20};
  std::shared_ptr<VolumeMaking> making =
      *VolumeMaking::Begin(*OpenVolumePool({.id = "main", .directory = scratch.path()}), plan, nullptr);
  const Operation operation = *runner.Start(
      {.verb = "import", .target = "pools/main/volumes/a", .request_id = ""},
      [making = std::move(making),
       &source](OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        const auto mine = std::move(making);
        TRY(mine->Format());
        TRY(mine->Fill(&source, progress));
        TRY(mine->Publish(progress));
        return std::make_unique<v1::Volume>();
      });
  source.began.get_future().wait();
  EXPECT_TRUE(std::filesystem::exists(scratch / ".new-a"));
  ASSERT_TRUE(runner.Cancel(operation.name()));
  source.go_on.set_value();
  const auto done = runner.Wait(operation.name(), std::chrono::minutes(5));
  EXPECT_EQ(FromRpcStatus(done->error()).reason(), "CANCELLED");
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace berth::server
