// Failure as a value: what went wrong, in gRPC's terms, with enough for a person to act on.
//
// A function that can fail returns Result<T> (or Status, where there is nothing to return). Errors are made
// where the failure is understood, gain context on the way up, and reach the API's caller with AIP-193
// details.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace berth {

// The canonical codes, with gRPC's numbers (google.rpc.Code).
enum class Code : int {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};

std::string_view CodeName(Code code);  // "INVALID_ARGUMENT"

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  // Sentences for a person: what was asked, what is in the way, what would fix it.
  const std::string& message() const { return message_; }
  // AIP-193 ErrorInfo.reason: UPPER_SNAKE_CASE, at most 63 characters; empty if the code says it all.
  const std::string& reason() const { return reason_; }
  // AIP-193 ErrorInfo.metadata: every value that varies in the message, by lowerCamelCase name.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  // The request's field at fault, as a path ("guest.memory.size_bytes"); empty if none.
  const std::string& field() const { return field_; }

  // By value, so that `error = std::move(error).With(…)` is as right as chaining.
  Error Reason(std::string reason) && { return reason_ = std::move(reason), std::move(*this); }
  Error With(std::string key, std::string value) && {
    return metadata_.emplace_back(std::move(key), std::move(value)), std::move(*this);
  }
  Error Field(std::string field) && { return field_ = std::move(field), std::move(*this); }
  // Puts "context: " before the message. The code and the details stay.
  Error Context(std::string_view context) && {
    return message_ = fmt::format("{}: {}", context, message_), std::move(*this);
  }

  std::string ToString() const;  // "NOT_FOUND: message"

 private:
  Code code_;
  std::string message_;
  std::string reason_;
  std::string field_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline Status Ok() { return {}; }

// return Fail(Code::kNotFound, "no guest named {}", name);
template <typename... Args>
tl::unexpected<Error> Fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}
inline tl::unexpected<Error> Fail(Error error) { return tl::make_unexpected(std::move(error)); }

// The error of a failed system call: `what` is the operation and its object ("open /dev/kvm"). The code
// follows errno: ENOENT NOT_FOUND, EEXIST ALREADY_EXISTS, EACCES and EPERM PERMISSION_DENIED, EBUSY
// FAILED_PRECONDITION, ENOMEM, ENOSPC and EMFILE RESOURCE_EXHAUSTED, EINVAL INVALID_ARGUMENT, EAGAIN
// UNAVAILABLE, else INTERNAL.
Error SystemError(int errno_value, std::string_view what);

template <typename... Args>
tl::unexpected<Error> FailErrno(int errno_value, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(SystemError(errno_value, fmt::format(format, std::forward<Args>(args)...)));
}

// Adds context to a failed result and leaves a good one alone.
template <typename T>
Result<T> Context(Result<T> result, std::string_view context) {
  if (!result) return tl::make_unexpected(std::move(result).error().Context(context));
  return result;
}

// For TRY: the value of a good result.
template <typename T>
T TakeValue(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// The value of a Result, or returns its error from the enclosing function.
//   UniqueFd fd = TRY(Open(path));
#define TRY(expression) BERTH_TRY(expression, BERTH_JOIN(try_result_, __COUNTER__))
#define BERTH_TRY(expression, result)                                   \
  __extension__({                                                       \
    auto result = (expression);                                         \
    if (!result) return tl::make_unexpected(std::move(result).error()); \
    ::berth::TakeValue(std::move(result));                              \
  })
#define BERTH_JOIN(a, b) BERTH_JOIN_EXPANDED(a, b)
#define BERTH_JOIN_EXPANDED(a, b) a##b

// An invariant of ours. A failure is a bug in Berth, never something a guest, a file or a caller can cause:
// it ends the process with the place and the condition.
#define CHECK(condition) \
  (__builtin_expect(!(condition), 0) ? ::berth::CheckFailed(#condition, __FILE__, __LINE__) : (void)0)
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace berth
