#include "block/new_file.h"

#include "block/driver.h"
#include "block/open.h"

namespace berth::block {

Result<std::unique_ptr<Image>> CreateFileFor(const std::string& filename, uint64_t size_bytes) {
  const Protocol* protocol = ProtocolOf(filename);
  if (protocol == nullptr || protocol->create == nullptr) {
    return Fail(Code::kUnimplemented, "there is no protocol that could create '{}'", filename);
  }
  CreateOptions options(protocol->create_options);
  TRY(options.Set("size", std::to_string(size_bytes)));
  TRY(protocol->create(filename, options));
  return OpenProtocol(filename, {.writable = true, .no_flush = true});
}

}  // namespace berth::block
