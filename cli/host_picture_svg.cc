#include <algorithm>

#include "cli/host_picture.h"
#include "cli/output.h"

namespace berth::cli {
namespace {

constexpr int kMargin = 12, kLine = 18, kCpuWidth = 150, kMostCpusInRow = 8;
constexpr const char* kFree = "#f4f4f4";
constexpr const char* kOffline = "#c8c8c8";

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        // XML knows no control characters.
        escaped += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return escaped;
}

// The same guest has the same colour in every picture.
std::string ColourOf(const std::string& guest) {
  uint32_t hash = 2166136261;  // FNV-1a
  for (char c : guest) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return fmt::format("hsl({},60%,80%)", hash % 360);
}

class Drawing {
 public:
  explicit Drawing(const HostPicture& picture) {
    size_t widest = 1;
    for (const auto& node : picture.nodes) {
      for (const auto& core : node.cores) widest = std::max(widest, core.cpus.size());
    }
    width_ = 4 * kMargin + static_cast<int>(std::min<size_t>(widest, kMostCpusInRow)) * kCpuWidth + 90;
    for (const auto& node : picture.nodes) DrawNode(node);
  }

  std::string Finish() const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" "
        "font-size=\"11\">\n{}</svg>\n",
        width_, y_ + kMargin, body_);
  }

 private:
  void Text(int x, const std::string& text) {
    body_ += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", x, y_ + 13, Escaped(text));
  }
  void Box(int x, int width, const std::string& fill, const std::string& label) {
    body_ += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" stroke=\"#888\"><title>{}</title>"
        "</rect>\n",
        x, y_, width, kLine - 2, fill, Escaped(label));
  }

  void DrawCpu(int x, const HostPicture::Cpu& cpu) {
    std::string label = std::to_string(cpu.id);
    for (const std::string& thread : cpu.threads) label += " " + thread;
    if (cpu.threads.empty() && !cpu.owner.empty()) label += " " + cpu.owner + ": idle";
    const std::string fill = !cpu.online ? kOffline : cpu.owner.empty() ? kFree : ColourOf(cpu.owner);
    Box(x, kCpuWidth - 4, fill, label);
    constexpr size_t kFits = 24;
    Text(x + 4, label.size() > kFits ? label.substr(0, kFits - 1) + "…" : label);
  }

  void DrawMemory(const HostPicture::Node& node) {
    const int whole = width_ - 4 * kMargin;
    Box(2 * kMargin, whole, kFree, FormatBytes(node.total_bytes));
    int x = 2 * kMargin;
    for (const auto& part : node.memory) {
      const double share =
          static_cast<double>(part.size_bytes) / static_cast<double>(std::max<int64_t>(node.total_bytes, 1));
      const int width = std::clamp(static_cast<int>(share * whole), 1, 2 * kMargin + whole - x);
      Box(x, width, ColourOf(part.guest), fmt::format("{} {}", part.guest, FormatBytes(part.size_bytes)));
      x = std::min(x + width, 2 * kMargin + whole - 1);
    }
    y_ += kLine;
  }

  void DrawNode(const HostPicture::Node& node) {
    const int top = y_;
    Text(2 * kMargin, fmt::format("node {}: {}", node.id, FormatBytes(node.total_bytes)));
    y_ += kLine;
    DrawMemory(node);
    for (const auto& core : node.cores) {
      Text(2 * kMargin, fmt::format("socket {} core {}", core.socket, core.core));
      for (size_t i = 0; i < core.cpus.size(); ++i) {
        if (i > 0 && i % kMostCpusInRow == 0) y_ += kLine;
        DrawCpu(2 * kMargin + 90 + static_cast<int>(i % kMostCpusInRow) * kCpuWidth, core.cpus[i]);
      }
      y_ += kLine;
    }
    for (const auto& device : node.devices) {
      Box(2 * kMargin, width_ - 4 * kMargin, device.guest.empty() ? kFree : ColourOf(device.guest),
          device.name);
      Text(2 * kMargin + 4, device.guest.empty() ? device.name : device.name + "  " + device.guest);
      y_ += kLine;
    }
    body_ +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333\"/>\n",
                    kMargin, top, width_ - 2 * kMargin, y_ - top + 4);
    y_ += kMargin;
  }

  int width_ = 0;
  int y_ = kMargin;
  std::string body_;
};

}  // namespace

std::string ToSvg(const HostPicture& picture) { return Drawing(picture).Finish(); }

}  // namespace berth::cli
