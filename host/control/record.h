// Changes as text, to be stored before they are made.
//
//   std::string text = host::Encode(driver_change);
//   DriverChange change = TRY(host::Decode<DriverChange>(text));
//
// A struct takes part by naming its fields:
//   template <typename Self, typename Visitor>
//   static void VisitFields(Self& self, Visitor&& visit) { visit("address", self.address); visit(…); }
// Fields are strings, bools, integers, PciAddress, CpuSet, such structs, and optionals and vectors of those.
#pragma once

#include "host/control/record_codec.h"

namespace berth::host {

// Lines of KEY=VALUE. The same value always gives the same text.
template <typename T>
std::string Encode(const T& value) {
  RecordWriter writer;
  writer("", value);
  return writer.TakeText();
}

// DATA_LOSS if the text is not what Encode made of a T: a field missing, unknown, twice or unreadable.
template <typename T>
Result<T> Decode(std::string_view text) {
  RecordReader reader(text);
  T value;
  reader("", value);
  TRY(reader.Finish());
  return value;
}

}  // namespace berth::host
