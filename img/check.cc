#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

#include "block/format_image.h"
#include "img/json.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr int kCannotCheck = 63, kCorrupt = 2, kLeaks = 3;

void PrintHuman(const block::CheckReport& report) {
  if (report.corruptions == 0 && report.leaks == 0 && report.errors == 0) {
    fmt::print("No errors were found on the image.\n");
  }
  if (report.corruptions != 0) {
    fmt::print(
        "\n{} errors were found on the image.\n"
        "Data may be corrupted, or further writes to the image may corrupt it.\n",
        report.corruptions);
  }
  if (report.leaks != 0) {
    fmt::print(
        "\n{} leaked clusters were found on the image.\n"
        "This means waste of disk space, but no harm to data.\n",
        report.leaks);
  }
  if (report.errors != 0) fmt::print("\n{} internal errors have occurred during the check.\n", report.errors);
  if (report.total_clusters != 0 && report.allocated_clusters != 0) {
    const auto percent = [](uint64_t part, uint64_t whole) {
      return static_cast<double>(part) * 100.0 / static_cast<double>(whole);
    };
    fmt::print("{}/{} = {:.2f}% allocated, {:.2f}% fragmented, {:.2f}% compressed clusters\n",
               report.allocated_clusters, report.total_clusters,
               percent(report.allocated_clusters, report.total_clusters),
               percent(report.fragmented_clusters, report.allocated_clusters),
               percent(report.compressed_clusters, report.allocated_clusters));
  }
  if (report.image_end_offset > 0) fmt::print("Image end offset: {}\n", report.image_end_offset);
}

void PrintJson(const block::CheckReport& report, const block::Image& image) {
  nlohmann::ordered_json json;
  json["filename"] = image.filename();
  json["format"] = image.driver();
  json["check-errors"] = report.errors;
  const auto add = [&json](const char* name, uint64_t value) {
    if (value != 0) json[name] = value;
  };
  add("image-end-offset", report.image_end_offset);
  add("corruptions", report.corruptions);
  add("leaks", report.leaks);
  add("corruptions-fixed", report.corruptions_fixed);
  add("leaks-fixed", report.leaks_fixed);
  add("total-clusters", report.total_clusters);
  add("allocated-clusters", report.allocated_clusters);
  add("fragmented-clusters", report.fragmented_clusters);
  add("compressed-clusters", report.compressed_clusters);
  fmt::print("{}\n", JsonText(json));
}

void PrintMessages(const block::CheckReport& report) {
  std::fflush(stdout);
  for (const std::string& message : report.messages) fmt::print(stderr, "{}\n", message);
}

}  // namespace

int Check(int argc, char** argv) {
  Source source;
  Output output = Output::kHuman;
  block::Repair repair;
  bool quiet = false;
  block::OpenFlags flags{.check = true};
  std::string cache = "writeback";
  const char* output_text = nullptr;
  Arguments arguments(argc, argv, "f:r:T:qU",
                      {{"format", required_argument, nullptr, 'f'},
                       {"repair", required_argument, nullptr, 'r'},
                       {"output", required_argument, nullptr, kOptionOutput},
                       {"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 'T') cache = ::optarg;
    if (option == 'q') quiet = true;
    if (option == 'U') flags.force_share = true;
    if (option == kOptionOutput) output_text = ::optarg;
    if (option == kOptionImageOpts) source.is_options = true;
    if (option == 'r') {
      const std::string_view what(::optarg);
      if (what != "leaks" && what != "all") {
        RefuseArguments(fmt::format("Unknown option value for -r (expecting 'leaks' or 'all'): {}", what));
      }
      repair = {.leaks = true, .corruptions = what == "all"};
      flags.writable = true;
    }
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  if (output_text != nullptr) {
    const auto parsed = ParseOutput(output_text);
    if (!parsed) return 1;
    output = *parsed;
  }
  if (!ParseCache(cache, &flags)) {
    Complain("Invalid source cache option: {}", cache);
    return 1;
  }
  source.name = arguments.Rest()[0];
  const auto image = OpenSource(source, flags);
  if (image == nullptr) return 1;
  auto* format = dynamic_cast<block::FormatImage*>(image.get());
  Result<block::CheckReport> report = Fail(Code::kUnimplemented, "no format");
  if (format != nullptr) report = format->Check(repair);
  if (!report && report.error().code() == Code::kUnimplemented) {
    Complain("This image format does not support checks");
    return kCannotCheck;
  }
  if (report && (report->corruptions_fixed != 0 || report->leaks_fixed != 0)) {
    const block::CheckReport fixed = *report;
    PrintMessages(fixed);
    if (output == Output::kHuman && !quiet) {
      fmt::print(
          "The following inconsistencies were found and repaired:\n\n    {} leaked clusters\n    {} "
          "corruptions\n\n"
          "Double checking the fixed image now...\n",
          fixed.leaks_fixed, fixed.corruptions_fixed);
    }
    report = format->Check({});
    if (report) {
      report->leaks_fixed = fixed.leaks_fixed;
      report->corruptions_fixed = fixed.corruptions_fixed;
    }
  }
  if (!report) {
    Complain("Check failed: {}", report.error().message());
    return 1;
  }
  PrintMessages(*report);
  if (report->failed_with != 0) {
    Complain("Check failed: {}", std::strerror(report->failed_with));
    return 1;
  }
  if (output == Output::kJson) {
    if (!quiet) PrintJson(*report, *image);
  } else if (!quiet) {
    PrintHuman(*report);
  }
  if (report->errors != 0) {
    Complain("Check failed");
    return 1;
  }
  return report->corruptions != 0 ? kCorrupt : report->leaks != 0 ? kLeaks : 0;
}

}  // namespace berth::img
