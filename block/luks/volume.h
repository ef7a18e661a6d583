// Making LUKS volumes, changing their key slots, and telling about them: for the format luks, and for qcow2,
// which has them inside.
#pragma once

#include <cstdint>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "block/create_options.h"
#include "block/luks/key_slots.h"

namespace berth::block::luks {

// What a new volume is to be.
struct Parameters {
  Header header;  // Without what is drawn by chance.
  SecretBytes password;
  uint64_t milliseconds = 2000;  // Of a processor, to make a key of a password.
};

// Options whose names begin with `prefix` ("encrypt."): key-secret, cipher-alg, cipher-mode, ivgen-alg,
// ivgen-hash-alg, hash-alg, iter-time.
Result<Parameters> ParametersOf(const CreateOptions& options, std::string_view prefix);
// Of the header and all key material: where the payload begins.
uint64_t VolumeHeaderBytes(const Parameters& parameters);
// Writes header and key material; the master key.
Result<SecretBytes> MakeVolume(Image* file, uint64_t at, const Parameters& parameters);

// Options whose names begin with `prefix`: state, new-secret, old-secret, keyslot, iter-time.
bool AsksForKeyChange(const CreateOptions& options, std::string_view prefix);
// Activates a slot with another password, or erases slots. The last active one stays. `master_key` is the
// volume's.
Status ChangeKeys(Volume* volume, std::span<const uint8_t> master_key, const CreateOptions& options,
                  std::string_view prefix);

// As the tools print it.
nlohmann::ordered_json Describe(const Header& header);

// The volume's master key, by the password that is the secret of this id. NOT_FOUND; Unlock's.
Result<SecretBytes> MasterKeyBySecret(const Volume& volume, const std::string& secret_id);

}  // namespace berth::block::luks
