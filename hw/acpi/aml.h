// ACPI Machine Language, as far as our tables need it: terms as byte strings, put together by concatenation.
// Pure. ACPI 6.5, chapter 20.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace berth::hw::aml {

using Term = std::string;  // Encoded bytes.

// A path as in ASL: "_SB_.PCI0", "\\_S5_", "^FOO_". Segments are four characters, short ones padded with '_'.
Term Path(std::string_view path);
Term Integer(uint64_t value);
Term String(std::string_view text);
Term EisaId(std::string_view id);  // "PNP0A08"
Term Buffer(std::string_view bytes);
Term Package(const std::vector<Term>& elements);

Term Name(std::string_view path, const Term& value);
Term Scope(std::string_view path, const Term& body);
Term Device(std::string_view path, const Term& body);
Term Method(std::string_view path, unsigned arguments, const Term& body);

// An I/O port region and byte-wide fields of it.
Term PortRegion(std::string_view name, uint16_t port, uint8_t size);
Term ByteField(std::string_view region, const std::vector<std::string>& names);

Term Local(unsigned number);
Term Arg(unsigned number);
Term Store(const Term& value, const Term& target);
Term And(const Term& a, const Term& b);
Term Equal(const Term& a, const Term& b);
Term If(const Term& condition, const Term& body);
Term Return(const Term& value);
Term Notify(const Term& object, uint64_t value);

// Resource descriptors (6.4), put between the braces of a template.
Term ResourceTemplate(const std::vector<Term>& descriptors);
Term IoPorts(uint16_t start, uint8_t length);
Term Interrupt(uint32_t gsi, bool level_triggered);
Term Memory32Fixed(uint32_t start, uint32_t size);
Term BusNumbers(uint16_t first, uint16_t last);
Term PortWindow(const Range& range);
Term MemoryWindow32(const Range& range);
Term MemoryWindow64(const Range& range);

}  // namespace berth::hw::aml
