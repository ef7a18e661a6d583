// Content of a qcow2 image that is stored encrypted: by LUKS, whose header is in clusters of the image, or by
// AES with the password itself as the key, which is there for images that have it.
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "block/crypto/sealed_bytes.h"
#include "block/luks/volume.h"
#include "block/options.h"
#include "block/qcow2/header.h"

namespace berth::block::qcow2 {

inline constexpr uint32_t kAes = 1, kLuks = 2;  // Encryption methods of the header.

struct Encryption {
  std::unique_ptr<SealedBytes> content;  // Null: the image is only asked about.
  // The number of a sector is its place in the data file (LUKS), not that on the disk (AES).
  bool by_place = false;
  // Of LUKS.
  luks::Volume volume{};
  SecretBytes master_key{};

  uint64_t TweakOf(uint64_t guest, uint64_t host) const { return by_place ? host : guest; }
};

// Where a header with encryption method kLuks says that the LUKS header is.
Result<Range> EncryptionHeaderPlace(const Header& header);
void SetEncryptionHeaderPlace(Header* header, const Range& place);

// Takes the options that begin with "encrypt.". Null if the image is not encrypted; `ask_only`: no secret is
// needed.
Result<std::unique_ptr<Encryption>> OpenEncryption(Image* file, const Header& header, Options* options,
                                                   bool ask_only);

// What `create` was told of it.
struct EncryptionRequest {
  uint32_t method = 0;  // 0: none.
  luks::Parameters luks{};
  SecretBytes password{};  // Of kAes.

  // Of the LUKS header.
  uint64_t header_bytes() const { return method == kLuks ? luks::VolumeHeaderBytes(luks) : 0; }
};
Result<EncryptionRequest> EncryptionRequestOf(const CreateOptions& options);
// Writes the LUKS header to its place.
Result<std::unique_ptr<Encryption>> MakeEncryption(Image* file, const Header& header,
                                                   const EncryptionRequest& request);

}  // namespace berth::block::qcow2
