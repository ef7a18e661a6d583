#include "block/blkdebug.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "base/bytes.h"
#include "block/driver.h"
#include "block/open.h"

namespace berth::block {
namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr size_t kMaxRules = 1000;
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr std::string_view kPrefix = "blkdebug:";

std::vector<std::string_view> EventsOf(Op op) {
  switch (op) {
    case Op::kRead:
      return {"read_aio"};
    case Op::kWrite:
      return {"write_aio", "pwritev"};
    case Op::kWriteZeroes:
      return {"pwritev_zero"};
    case Op::kFlush:
      return {"flush_to_os", "flush_to_disk"};
    case Op::kDiscard:
      return {};
  }
  return {};
}

bool IsEvent(std::string_view name) {
  static constexpr std::string_view kEvents[] = {"none",         "read_aio",    "write_aio",    "pwritev",
                                                 "pwritev_zero", "flush_to_os", "flush_to_disk"};
  return std::find(std::begin(kEvents), std::end(kEvents), name) != std::end(kEvents);
}

Result<int64_t> Integer(std::string_view name, const std::string& text) {
  const auto number = ParseNumber(text);
  if (!number || *number > INT64_MAX)
    return Fail(Code::kInvalidArgument, "Parameter '{}' expects a number", name);
  return static_cast<int64_t>(*number);
}

Result<DebugRule> MakeRule(std::string_view kind, const std::map<std::string, std::string>& values) {
  DebugRule rule;
  bool has_event = false;
  for (const auto& [name, value] : values) {
    if (name == "event") {
      if (!IsEvent(value)) return Fail(Code::kInvalidArgument, "Invalid event name \"{}\"", value);
      rule.event = value;
      has_event = true;
    } else if (name == "state") {
      rule.state = static_cast<int>(TRY(Integer(name, value)));
    } else if (name == "new_state" && kind == "set-state") {
      rule.new_state = static_cast<int>(TRY(Integer(name, value)));
    } else if (name == "errno" && kind == "inject-error") {
      rule.error = static_cast<int>(TRY(Integer(name, value)));
    } else if (name == "sector" && kind == "inject-error") {
      rule.sector = TRY(Integer(name, value));
    } else if (name == "once" && kind == "inject-error") {
      rule.once = TRY(ParseBool(name, value));
    } else if (name == "immediately" && kind == "inject-error") {
      TRY(ParseBool(name, value));  // Nothing here is later than at once.
    } else if (name == "iotype" && kind == "inject-error") {
      static const std::map<std::string_view, Op> kKinds = {{"read", Op::kRead},
                                                            {"write", Op::kWrite},
                                                            {"write-zeroes", Op::kWriteZeroes},
                                                            {"discard", Op::kDiscard},
                                                            {"flush", Op::kFlush}};
      const auto found = kKinds.find(value);
      if (found == kKinds.end()) return Fail(Code::kInvalidArgument, "Invalid iotype value: {}", value);
      rule.kinds = {found->second};
    } else {
      return Fail(Code::kInvalidArgument, "Invalid parameter '{}'", name);
    }
  }
  if (!has_event) return Fail(Code::kInvalidArgument, "Missing event name for rule");
  if (kind == "set-state" && rule.new_state == 0)
    return Fail(Code::kInvalidArgument, "Missing new_state for rule");
  return rule;
}

Result<std::vector<DebugRule>> TakeRules(Options* options) {
  std::vector<DebugRule> rules;
  if (const auto config = Take(options, "config"); config && !config->empty()) {
    std::ifstream file(*config, std::ios::binary);
    if (!file) return FailErrno(errno, "Could not read blkdebug config file");
    std::string text(kMaxConfigBytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    rules = TRY(ParseDebugRules(text));
  }
  for (const char* kind : {"inject-error", "set-state"}) {
    std::map<std::string, std::map<std::string, std::string>> by_number;
    for (const auto& [name, value] : TakePrefix(options, std::string(kind) + ".")) {
      const size_t dot = name.find('.');
      if (dot == name.npos) return Fail(Code::kInvalidArgument, "Invalid parameter '{}.{}'", kind, name);
      by_number[name.substr(0, dot)][name.substr(dot + 1)] = value;
    }
    for (const auto& [number, values] : by_number) {
      if (rules.size() == kMaxRules) return Fail(Code::kInvalidArgument, "more than {} rules", kMaxRules);
      rules.push_back(TRY(MakeRule(kind, values)));
    }
  }
  return rules;
}

Result<std::unique_ptr<Image>> OpenDebug(Options* options, const OpenFlags& flags) {
  Options child = TakePrefix(options, "image.");
  const auto name = Take(options, "filename");
  if (name) {
    // blkdebug:CONFIG:FILENAME
    const std::string_view rest = std::string_view(*name).substr(kPrefix.size());
    const size_t colon = rest.find(':');
    if (colon == rest.npos)
      return Fail(Code::kInvalidArgument, "blkdebug requires both config file and image path");
    if (colon != 0) (*options)["config"] = std::string(rest.substr(0, colon));
    child = {{"filename", std::string(rest.substr(colon + 1))}};
  }
  if (child.empty()) return Fail(Code::kInvalidArgument, "A block device must be specified for \"image\"");
  std::vector<DebugRule> rules = TRY(TakeRules(options));
  auto image = TRY(OpenProtocol(std::move(child), flags));
  const std::string shown = name ? *name : fmt::format("blkdebug::{}", image->filename());
  auto debug = std::make_unique<DebugImage>(std::move(image), std::move(rules));
  debug->SetIdentity("blkdebug", shown);
  return debug;
}

}  // namespace

Result<std::vector<DebugRule>> ParseDebugRules(std::string_view text) {
  std::vector<DebugRule> rules;
  std::string kind, line;
  std::map<std::string, std::string> values;
  const auto finish = [&]() -> Status {
    if (kind.empty()) return Ok();
    if (rules.size() == kMaxRules) return Fail(Code::kInvalidArgument, "more than {} rules", kMaxRules);
    rules.push_back(TRY(MakeRule(kind, values)));
    values.clear();
    return Ok();
  };
  std::istringstream stream{std::string(text)};
  while (std::getline(stream, line)) {
    const size_t start = line.find_first_not_of(" \t\r");
    if (start == line.npos || line[start] == '#') continue;
    if (line[start] == '[') {
      TRY(finish());
      kind = line.substr(start + 1, line.find(']') - start - 1);
      if (kind != "inject-error" && kind != "set-state") {
        return Fail(Code::kInvalidArgument, "There is no option group '{}'", kind);
      }
      continue;
    }
    const size_t equals = line.find('='), open = line.find('"', equals), close = line.rfind('"');
    if (kind.empty() || equals == line.npos || open == line.npos || close <= open) {
      return Fail(Code::kInvalidArgument, "Could not parse blkdebug config file: {}", line);
    }
    const std::string name = line.substr(start, line.find_last_not_of(" \t", equals - 1) + 1 - start);
    values[name] = line.substr(open + 1, close - open - 1);
  }
  TRY(finish());
  return rules;
}

DebugImage::DebugImage(std::unique_ptr<Image> image, std::vector<DebugRule> rules)
    : image_(std::move(image)), rules_(std::move(rules)) {
  MutexLock lock(mutex_);
  Happen("none");
}

// An event that has errors of its own puts an end to those of earlier ones.
void DebugImage::Happen(std::string_view event) {
  std::vector<size_t> errors;
  int next = state_;
  for (size_t i = 0; i < rules_.size(); ++i) {
    const DebugRule& rule = rules_[i];
    if (rule.event != event || (rule.state != 0 && rule.state != state_)) continue;
    if (rule.new_state != 0) {
      next = rule.new_state;
    } else {
      errors.push_back(i);
    }
  }
  if (!errors.empty()) active_ = std::move(errors);
  state_ = next;
}

int DebugImage::Injected(const Request& request) {
  for (const size_t i : active_) {
    DebugRule& rule = rules_[i];
    if (!rule.kinds.empty() &&
        std::find(rule.kinds.begin(), rule.kinds.end(), request.op) == rule.kinds.end())
      continue;
    const Range range{request.offset, request.length};
    if (rule.sector >= 0 && !range.Contains(static_cast<uint64_t>(rule.sector) * kSectorBytes)) continue;
    const int error = rule.error;
    if (rule.once) {
      std::erase(active_, i);
      rule.event.clear();  // It does not come again.
    }
    return error;
  }
  return 0;
}

void DebugImage::Stop(MutexLock* lock, std::string_view event) {
  const auto point =
      std::find_if(points_.begin(), points_.end(), [&](const Point& one) { return one.event == event; });
  if (point == points_.end()) return;
  const std::string tag = point->tag;
  points_.erase(point);
  stopped_.push_back(tag);
  changed_.notify_all();
  if (listener_) listener_(fmt::format("Suspended request '{}'", tag));
  const auto before = std::count(stopped_.begin(), stopped_.end(), tag);
  while (std::count(stopped_.begin(), stopped_.end(), tag) >= before) lock->Wait(changed_);
  if (listener_) listener_(fmt::format("Resuming request '{}'", tag));
}

int DebugImage::Perform(const Request& request) {
  {
    MutexLock lock(mutex_);
    for (const std::string_view event : EventsOf(request.op)) {
      Happen(event);
      Stop(&lock, event);
    }
    if (const int error = Injected(request); error != 0) return error;
  }
  return image_->Perform(request);
}

int DebugImage::Break(const std::string& event, const std::string& tag) {
  if (!IsEvent(event)) return ENOENT;
  MutexLock lock(mutex_);
  points_.push_back({event, tag});
  return 0;
}

int DebugImage::Resume(const std::string& tag) {
  MutexLock lock(mutex_);
  const auto found = std::find(stopped_.begin(), stopped_.end(), tag);
  if (found == stopped_.end()) return ENOENT;
  stopped_.erase(found);
  changed_.notify_all();
  return 0;
}

int DebugImage::RemoveBreak(const std::string& tag) {
  MutexLock lock(mutex_);
  const size_t removed =
      std::erase_if(points_, [&](const Point& one) { return one.tag == tag; }) + std::erase(stopped_, tag);
  changed_.notify_all();
  return removed == 0 ? ENOENT : 0;
}

void DebugImage::WaitBreak(const std::string& tag) {
  MutexLock lock(mutex_);
  while (std::find(stopped_.begin(), stopped_.end(), tag) == stopped_.end()) lock.Wait(changed_);
}

void DebugImage::SetListener(std::function<void(std::string_view)> listener) {
  MutexLock lock(mutex_);
  listener_ = std::move(listener);
}

const Protocol kBlkdebugProtocol{.name = "blkdebug", .prefix = kPrefix, .open = OpenDebug};

}  // namespace berth::block
