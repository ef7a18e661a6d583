// `io` (and qemu-io): commands that try an image out, one line each.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "block/format_image.h"
#include "img/tool.h"

namespace berth::img {

// What one run of the tool has: an open image, and requests that are under way.
struct IoSession {
  Source source{};
  block::OpenFlags flags{};
  std::unique_ptr<block::Image> image{};
  std::list<std::thread> running{};  // aio_…; each prints its own result.
  bool quit = false;

  // False, with a complaint, if it cannot be.
  bool Open();
  void Close();
  void AwaitRunning();
};

using Words = std::vector<std::string>;

struct IoCommand {
  std::string_view name;
  // 0, or a failure, which has been told.
  int (*run)(IoSession* session, const Words& words);
  int least, most;  // Arguments; -1: any number.
  std::string_view arguments;
  std::string_view help;
  bool needs_image = true;
  bool writes = false;
};

const IoCommand* FindIoCommand(std::string_view name);
std::span<const IoCommand> IoCommands();
// "name arguments -- help"
void PrintIoUsage(std::string_view name);

// The letters that were given and the values of those with a colon in `letters` ("CqP:"), and what is left.
// Nothing, with the command's usage printed, if there is one that it does not know.
struct IoOptions {
  std::string letters{};
  std::vector<std::pair<char, std::string>> values{};
  Words rest{};
  bool Has(char letter) const { return letters.find(letter) != letters.npos; }
  std::optional<std::string> Value(char letter) const;
};
std::optional<IoOptions> ParseIoOptions(const Words& words, const char* letters);

// A size; nothing, and said why, if it is none.
std::optional<int64_t> ParseIoNumber(const std::string& text);
std::optional<uint8_t> ParseIoPattern(const std::string& text);

// The most bytes of one request.
inline constexpr int64_t kMaxIoBytes = 2147483136;

// How long it took, and how fast that was.
class IoReport {
 public:
  void Print(std::string_view done, int64_t offset, int64_t count, bool terse) const;

 private:
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};
// "1 MiB", "68.359 KiB", "512 bytes"
std::string IoSizeText(double bytes);
void PrintIoDump(std::span<const uint8_t> bytes, int64_t offset);

int IoRead(IoSession* session, const Words& words);
int IoReadv(IoSession* session, const Words& words);
int IoWrite(IoSession* session, const Words& words);
int IoWritev(IoSession* session, const Words& words);
int IoAioRead(IoSession* session, const Words& words);
int IoAioWrite(IoSession* session, const Words& words);
int IoDiscard(IoSession* session, const Words& words);
int IoAlloc(IoSession* session, const Words& words);
int IoMap(IoSession* session, const Words& words);
int IoInfo(IoSession* session, const Words& words);
int IoTruncate(IoSession* session, const Words& words);
int IoBreak(IoSession* session, const Words& words);

// The errno value that users of the tool know: what lies outside the image is EIO.
int PerformIo(block::Image* image, const block::Request& request);

}  // namespace berth::img
