// The two visitors behind Encode and Decode. Included by record.h only.
#pragma once

#include <charconv>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "host/cpu_set.h"
#include "host/pci_address.h"

namespace berth::host {

inline constexpr size_t kMaxRecordBytes = 1 << 20;
inline constexpr size_t kMaxRecordElements = 4096;  // Of one vector.

class RecordWriter {
 public:
  void operator()(std::string_view key, const std::string& value) { Put(key, value); }
  void operator()(std::string_view key, const PciAddress& value) { Put(key, value.ToString()); }
  void operator()(std::string_view key, const CpuSet& value) { Put(key, value.ToString()); }
  template <std::integral T>
  void operator()(std::string_view key, const T& value) {
    Put(key, std::to_string(+value));
  }
  template <typename T>
  void operator()(std::string_view key, const std::optional<T>& value) {
    (*this)(Name(key, "set"), value.has_value());
    if (value) (*this)(key, *value);
  }
  template <typename T>
  void operator()(std::string_view key, const std::vector<T>& values) {
    (*this)(Name(key, "size"), values.size());
    for (size_t i = 0; i < values.size(); ++i) (*this)(Name(key, std::to_string(i)), values[i]);
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(std::string_view key, const T& value) {
    T::VisitFields(value,
                   [&](std::string_view field, const auto& member) { (*this)(Name(key, field), member); });
  }

  std::string TakeText() { return std::move(text_); }
  // "key.field", or "field" at the top.
  static std::string Name(std::string_view key, std::string_view field);

 private:
  void Put(std::string_view key, std::string_view value);

  std::string text_;
};

class RecordReader {
 public:
  explicit RecordReader(std::string_view text);

  void operator()(std::string_view key, std::string& value) { value = Take(key); }
  void operator()(std::string_view key, PciAddress& value);
  void operator()(std::string_view key, CpuSet& value);
  template <std::integral T>
  void operator()(std::string_view key, T& value) {
    using Number = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;
    const std::string text = Take(key);
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (!whole || (std::is_same_v<T, bool> && number > 1)) return Spoil(key, "is not such a number");
    value = static_cast<T>(number);
  }
  template <typename T>
  void operator()(std::string_view key, std::optional<T>& value) {
    bool set = false;
    (*this)(RecordWriter::Name(key, "set"), set);
    value.reset();
    if (set) (*this)(key, value.emplace());
  }
  template <typename T>
  void operator()(std::string_view key, std::vector<T>& values) {
    size_t size = 0;
    (*this)(RecordWriter::Name(key, "size"), size);
    if (size > kMaxRecordElements) return Spoil(key, "has too many elements");
    values.assign(size, T{});
    for (size_t i = 0; i < size; ++i) (*this)(RecordWriter::Name(key, std::to_string(i)), values[i]);
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(std::string_view key, T& value) {
    T::VisitFields(value, [&](std::string_view field, auto& member) {
      (*this)(RecordWriter::Name(key, field), member);
    });
  }

  // The first thing that was wrong, or that was left over.
  Status Finish();

 private:
  std::string Take(std::string_view key);
  void Spoil(std::string_view key, std::string_view problem);

  std::map<std::string, std::string, std::less<>> fields_;
  std::string problem_;
};

}  // namespace berth::host
