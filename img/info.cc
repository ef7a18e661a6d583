#include <set>

#include <nlohmann/json.hpp>

#include "block/format_image.h"
#include "block/open.h"
#include "block/snapshot.h"
#include "img/json.h"
#include "img/snapshot_list.h"
#include "img/text.h"
#include "img/tool.h"

namespace berth::img {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kNanoseconds = 1'000'000'000;  // Of a second.

Json Describe(const block::Image& image, const std::string& filename) {
  Json info;
  info["filename"] = filename;
  info["format"] = image.driver();
  info["virtual-size"] = image.size_bytes();
  if (const auto bytes = image.AllocatedBytes()) info["actual-size"] = *bytes;
  info["dirty-flag"] = false;
  const auto* format = dynamic_cast<const block::FormatImage*>(&image);
  if (format == nullptr) return info;
  const block::ImageInfo more = format->Info();
  info["dirty-flag"] = more.dirty;
  if (more.cluster_size_bytes) info["cluster-size"] = *more.cluster_size_bytes;
  if (more.encrypted) info["encrypted"] = true;
  if (more.compressed) info["compressed"] = true;
  if (const auto backing = format->backing_reference()) {
    info["backing-filename"] = backing->filename;
    info["full-backing-filename"] = block::ResolveName(image.filename(), backing->filename);
    if (!backing->format.empty()) info["backing-filename-format"] = backing->format;
  }
  for (const block::Snapshot& snapshot : format->Snapshots()) {
    Json one{{"vm-clock-nsec", snapshot.vm_clock_ns % kNanoseconds},
             {"name", snapshot.name},
             {"date-sec", snapshot.date_seconds},
             {"date-nsec", snapshot.date_nanoseconds},
             {"vm-clock-sec", snapshot.vm_clock_ns / kNanoseconds},
             {"id", snapshot.id},
             {"vm-state-size", snapshot.vm_state_bytes}};
    if (snapshot.icount != -1) one["icount"] = snapshot.icount;
    info["snapshots"].push_back(std::move(one));
  }
  Json specific = format->SpecificInfo();
  if (!specific.is_null()) info["format-specific"] = std::move(specific);
  return info;
}

void PrintHuman(const Json& info, std::span<const block::Snapshot> snapshots) {
  const auto text = [&](const char* key) { return info.at(key).get<std::string>(); };
  const auto size = info.at("virtual-size").get<uint64_t>();
  fmt::print("image: {}\nfile format: {}\nvirtual size: {} ({} bytes)\n", text("filename"), text("format"),
             SizeText(size), size);
  fmt::print("disk size: {}\n",
             info.contains("actual-size") ? SizeText(info["actual-size"].get<uint64_t>()) : "unavailable");
  if (info.contains("encrypted")) fmt::print("encrypted: yes\n");
  if (info.contains("cluster-size")) fmt::print("cluster_size: {}\n", info["cluster-size"].get<uint64_t>());
  if (info["dirty-flag"].get<bool>()) fmt::print("cleanly shut down: no\n");
  if (info.contains("backing-filename")) {
    fmt::print("backing file: {}", text("backing-filename"));
    if (text("full-backing-filename") != text("backing-filename")) {
      fmt::print(" (actual path: {})", text("full-backing-filename"));
    }
    fmt::print("\n");
    if (info.contains("backing-filename-format")) {
      fmt::print("backing file format: {}\n", text("backing-filename-format"));
    }
  }
  PrintSnapshots(snapshots);
  if (info.contains("format-specific")) {
    const Json data = InQemuOrder(info["format-specific"]["data"]);
    if (!data.empty()) {
      fmt::print("Format specific information:\n");
      PrintIndented(data, 1);
    }
  }
}

}  // namespace

int Info(int argc, char** argv) {
  Source source;
  Output output = Output::kHuman;
  bool chain = false;
  block::OpenFlags flags{.no_backing = true, .no_io = true};
  Arguments arguments(argc, argv, "f:U",
                      {{"format", required_argument, nullptr, 'f'},
                       {"output", required_argument, nullptr, kOptionOutput},
                       {"backing-chain", no_argument, nullptr, kOptionBackingChain},
                       {"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  const char* output_text = nullptr;
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 'U') flags.force_share = true;
    if (option == kOptionOutput) output_text = ::optarg;
    if (option == kOptionBackingChain) chain = true;
    if (option == kOptionImageOpts) source.is_options = true;
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  if (output_text != nullptr) {
    const auto parsed = ParseOutput(output_text);
    if (!parsed) return 1;
    output = *parsed;
  }
  source.name = arguments.Rest()[0];

  Json all = Json::array();
  std::vector<std::vector<block::Snapshot>> snapshots;
  std::set<std::string> seen;
  for (;;) {
    if (!seen.insert(source.name).second) {
      Complain("Backing file '{}' creates an infinite loop.", source.name);
      return 1;
    }
    const auto image = OpenSource(source, flags);
    if (image == nullptr) return 1;
    all.push_back(Describe(*image, image->filename()));
    const auto* format = dynamic_cast<const block::FormatImage*>(image.get());
    snapshots.push_back(format == nullptr ? std::vector<block::Snapshot>() : format->Snapshots());
    const Json& last = all.back();
    if (!chain || !last.contains("full-backing-filename")) break;
    source = {.name = last["full-backing-filename"].get<std::string>()};
    if (last.contains("backing-filename-format")) {
      source.format = last["backing-filename-format"].get<std::string>();
    }
  }
  if (output == Output::kJson) {
    fmt::print("{}\n", JsonText(chain ? all : all[0]));
    return 0;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (i != 0) fmt::print("\n");
    PrintHuman(all[i], snapshots[i]);
  }
  return 0;
}

}  // namespace berth::img
