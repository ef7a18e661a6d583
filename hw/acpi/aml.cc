#include "hw/acpi/aml.h"

#include "base/error.h"

namespace berth::hw::aml {
namespace {

// Opcodes (20.3).
constexpr char kZeroOp = 0x00, kOneOp = 0x01, kNameOp = 0x08, kBytePrefix = 0x0a, kWordPrefix = 0x0b,
               kDwordPrefix = 0x0c, kStringPrefix = 0x0d, kQwordPrefix = 0x0e, kScopeOp = 0x10,
               kBufferOp = 0x11, kPackageOp = 0x12, kMethodOp = 0x14, kDualNamePrefix = 0x2e,
               kMultiNamePrefix = 0x2f, kExtPrefix = 0x5b, kLocal0Op = 0x60, kArg0Op = 0x68, kStoreOp = 0x70,
               kAndOp = 0x7b;
constexpr char kNotifyOp = static_cast<char>(0x86), kEqualOp = static_cast<char>(0x93),
               kIfOp = static_cast<char>(0xa0), kReturnOp = static_cast<char>(0xa4),
               kRegionOp = static_cast<char>(0x80), kFieldOp = static_cast<char>(0x81),
               kDeviceOp = static_cast<char>(0x82);

template <typename T>
std::string Le(T value) {
  std::string bytes(sizeof(T), '\0');
  StoreLe<T>(bytes.data(), value);
  return bytes;
}

// PkgLength (20.2.4) counts itself: one byte for up to 63, else two to four with the low nibble in the first.
std::string PackageLength(size_t body) {
  if (body + 1 < 0x40) return std::string(1, static_cast<char>(body + 1));
  for (size_t extra = 1; extra <= 3; ++extra) {
    const size_t total = body + 1 + extra;
    if (total >> (4 + 8 * extra) != 0) continue;
    std::string bytes(1, static_cast<char>(extra << 6 | (total & 0xf)));
    for (size_t i = 0; i < extra; ++i) bytes += static_cast<char>(total >> (4 + 8 * i) & 0xff);
    return bytes;
  }
  CHECK(false);
}

Term WithLength(const std::string& opcode, const Term& body) {
  return opcode + PackageLength(body.size()) + body;
}

// A large resource item: tag, 16-bit length, body.
Term Large(uint8_t tag, const std::string& body) {
  return std::string(1, static_cast<char>(tag)) + Le(static_cast<uint16_t>(body.size())) + body;
}

// Word, dword and qword address space descriptors (6.4.3.5): minimum and maximum fixed.
template <typename T>
Term AddressSpaceDescriptor(uint8_t tag, uint8_t type, uint8_t type_flags, T first, T last) {
  constexpr uint8_t kMinAndMaxFixed = 0x0c;
  std::string body{static_cast<char>(type), kMinAndMaxFixed, static_cast<char>(type_flags)};
  body += Le(T{0}) + Le(first) + Le(last) + Le(T{0}) + Le(static_cast<T>(last - first + 1));
  return Large(tag, body);
}
constexpr uint8_t kTypeMemory = 0, kTypePorts = 1, kTypeBuses = 2, kReadWrite = 1, kEntireRange = 3;

}  // namespace

Term Path(std::string_view path) {
  std::string prefix, segments;
  while (!path.empty() && (path.front() == '\\' || path.front() == '^')) {
    prefix += path.front();
    path.remove_prefix(1);
  }
  size_t count = 0;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    std::string segment(path.substr(0, dot));
    CHECK(!segment.empty() && segment.size() <= 4);
    segment.resize(4, '_');
    segments += segment;
    ++count;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  if (count == 0) return prefix + std::string(1, '\0');
  if (count == 2) return prefix + kDualNamePrefix + segments;
  if (count > 2) return prefix + kMultiNamePrefix + static_cast<char>(count) + segments;
  return prefix + segments;
}

Term Integer(uint64_t value) {
  if (value == 0) return std::string(1, kZeroOp);
  if (value == 1) return std::string(1, kOneOp);
  if (value <= 0xff) return kBytePrefix + Le(static_cast<uint8_t>(value));
  if (value <= 0xffff) return kWordPrefix + Le(static_cast<uint16_t>(value));
  if (value <= 0xffffffff) return kDwordPrefix + Le(static_cast<uint32_t>(value));
  return kQwordPrefix + Le(value);
}

Term String(std::string_view text) { return kStringPrefix + std::string(text) + '\0'; }

Term EisaId(std::string_view id) {
  CHECK(id.size() == 7);
  uint32_t value = 0;
  for (int i = 0; i < 3; ++i) value = value << 5 | (static_cast<uint8_t>(id[i]) - 0x40u);
  for (int i = 3; i < 7; ++i) {
    const uint32_t digit = static_cast<uint8_t>(id[i]);
    value = value << 4 | (digit <= '9' ? digit - '0' : digit - 'A' + 10);
  }
  return kDwordPrefix + Le(__builtin_bswap32(value));
}

Term Buffer(std::string_view bytes) {
  return WithLength({kBufferOp}, Integer(bytes.size()) + std::string(bytes));
}

Term Package(const std::vector<Term>& elements) {
  CHECK(elements.size() <= 255);
  std::string body(1, static_cast<char>(elements.size()));
  for (const Term& element : elements) body += element;
  return WithLength({kPackageOp}, body);
}

Term Name(std::string_view path, const Term& value) { return kNameOp + Path(path) + value; }
Term Scope(std::string_view path, const Term& body) { return WithLength({kScopeOp}, Path(path) + body); }
Term Device(std::string_view path, const Term& body) {
  return WithLength({kExtPrefix, kDeviceOp}, Path(path) + body);
}
Term Method(std::string_view path, unsigned arguments, const Term& body) {
  return WithLength({kMethodOp}, Path(path) + static_cast<char>(arguments) + body);
}

Term PortRegion(std::string_view name, uint16_t port, uint8_t size) {
  constexpr char kSystemIo = 1;
  return std::string{kExtPrefix, kRegionOp} + Path(name) + kSystemIo + Integer(port) + Integer(size);
}

Term ByteField(std::string_view region, const std::vector<std::string>& names) {
  constexpr char kByteAccess = 1;
  std::string body = Path(region) + kByteAccess;
  for (const std::string& name : names)
    body += Path(name) + PackageLength(8 - 1);  // The width in bits, so encoded.
  return WithLength({kExtPrefix, kFieldOp}, body);
}

Term Local(unsigned number) {
  return std::string(1, static_cast<char>(kLocal0Op + static_cast<char>(number)));
}
Term Arg(unsigned number) { return std::string(1, static_cast<char>(kArg0Op + static_cast<char>(number))); }
Term Store(const Term& value, const Term& target) { return kStoreOp + value + target; }
Term And(const Term& a, const Term& b) { return kAndOp + a + b + std::string(1, '\0'); }
Term Equal(const Term& a, const Term& b) { return kEqualOp + a + b; }
Term If(const Term& condition, const Term& body) { return WithLength({kIfOp}, condition + body); }
Term Return(const Term& value) { return kReturnOp + value; }
Term Notify(const Term& object, uint64_t value) { return kNotifyOp + object + Integer(value); }

Term ResourceTemplate(const std::vector<Term>& descriptors) {
  std::string bytes;
  for (const Term& descriptor : descriptors) bytes += descriptor;
  return Buffer(bytes + std::string{0x79, 0x00});  // End tag; a checksum of 0 is "not computed".
}

Term IoPorts(uint16_t start, uint8_t length) {
  constexpr char kTag = 0x47, kDecode16 = 1, kAlignment = 1;
  return std::string{kTag, kDecode16} + Le(start) + Le(start) + kAlignment + static_cast<char>(length);
}

Term Interrupt(uint32_t gsi, bool level_triggered) {
  const uint8_t flags = level_triggered ? 0x01 : 0x03;  // A consumer; active high, exclusive.
  return Large(0x89, std::string{static_cast<char>(flags), 1} + Le(gsi));
}

Term Memory32Fixed(uint32_t start, uint32_t size) { return Large(0x86, '\x01' + Le(start) + Le(size)); }

Term BusNumbers(uint16_t first, uint16_t last) {
  return AddressSpaceDescriptor<uint16_t>(0x88, kTypeBuses, 0, first, last);
}
Term PortWindow(const Range& range) {
  return AddressSpaceDescriptor<uint16_t>(0x88, kTypePorts, kEntireRange, static_cast<uint16_t>(range.start),
                                          static_cast<uint16_t>(range.end() - 1));
}
Term MemoryWindow32(const Range& range) {
  return AddressSpaceDescriptor<uint32_t>(0x87, kTypeMemory, kReadWrite, static_cast<uint32_t>(range.start),
                                          static_cast<uint32_t>(range.end() - 1));
}
Term MemoryWindow64(const Range& range) {
  return AddressSpaceDescriptor<uint64_t>(0x8a, kTypeMemory, kReadWrite, range.start, range.end() - 1);
}

}  // namespace berth::hw::aml
