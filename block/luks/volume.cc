#include "block/luks/volume.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "block/guid.h"

namespace berth::block::luks {
namespace {

// The first slot begins here, and all begin at multiples of it.
constexpr uint64_t kAlignmentBytes = 4096;

struct CipherName {
  std::string_view name, algorithm;
  uint32_t key_bytes;
};
constexpr CipherName kCipherNames[] = {{"aes-128", "aes", 16},         {"aes-192", "aes", 24},
                                       {"aes-256", "aes", 32},         {"des", "des", 8},
                                       {"3des", "3des", 24},           {"cast5-128", "cast5", 16},
                                       {"serpent-128", "serpent", 16}, {"serpent-192", "serpent", 24},
                                       {"serpent-256", "serpent", 32}, {"twofish-128", "twofish", 16},
                                       {"twofish-192", "twofish", 24}, {"twofish-256", "twofish", 32}};

std::string Named(std::string_view prefix, std::string_view name) {
  return fmt::format("{}{}", prefix, name);
}

Result<std::string> OneOf(const CreateOptions& options, std::string_view prefix, std::string_view name,
                          std::string_view fallback, std::initializer_list<std::string_view> allowed) {
  const std::string value = options.String(Named(prefix, name));
  if (value.empty()) return std::string(fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  return Fail(Code::kInvalidArgument, "Parameter '{}' does not accept value '{}'", name, value);
}

std::string UuidText(const Guid& guid) {
  std::string text;
  for (size_t i = 0; i < guid.size(); ++i) {
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", guid[i]);
  }
  return text;
}

Status Activate(Volume* volume, std::span<const uint8_t> master_key, const CreateOptions& options,
                std::string_view prefix) {
  if (options.Has(Named(prefix, "old-secret")))
    return Fail(Code::kInvalidArgument, "'old-secret' must not be given when activating keyslots");
  const std::string secret = options.String(Named(prefix, "new-secret"));
  if (secret.empty()) return Fail(Code::kInvalidArgument, "'new-secret' is required to activate a keyslot");
  size_t slot = 0;
  if (options.Has(Named(prefix, "keyslot"))) {
    slot = options.Number(Named(prefix, "keyslot"));
    if (slot >= kKeySlots) {
      return Fail(Code::kInvalidArgument, "Invalid keyslot {} specified, must be between 0 and {}", slot,
                  kKeySlots - 1);
    }
    if (volume->header.slots[slot].active) {
      return Fail(Code::kInvalidArgument, "Refusing to overwrite active keyslot {} - please erase it first",
                  slot);
    }
  } else {
    while (slot < kKeySlots && volume->header.slots[slot].active) ++slot;
    if (slot == kKeySlots)
      return Fail(Code::kFailedPrecondition, "Can't add a keyslot - all keyslots are in use");
  }
  const SecretBytes password = TRY(FindSecret(secret));
  const uint64_t milliseconds = options.Number(Named(prefix, "iter-time"));
  return StoreKey(volume, slot, master_key, password,
                  milliseconds == 0 ? Parameters().milliseconds : milliseconds);
}

Status Deactivate(Volume* volume, const CreateOptions& options, std::string_view prefix) {
  if (options.Has(Named(prefix, "new-secret")))
    return Fail(Code::kInvalidArgument, "'new-secret' must not be given when erasing keyslots");
  if (options.Has(Named(prefix, "iter-time")))
    return Fail(Code::kInvalidArgument, "'iter-time' must not be given when erasing keyslots");
  const auto& slots = volume->header.slots;
  const auto active =
      std::count_if(slots.begin(), slots.end(), [](const KeySlot& slot) { return slot.active; });
  std::optional<SecretBytes> old;
  if (const std::string id = options.String(Named(prefix, "old-secret")); !id.empty())
    old = TRY(FindSecret(id));
  if (options.Has(Named(prefix, "keyslot"))) {
    const uint64_t slot = options.Number(Named(prefix, "keyslot"));
    if (slot >= kKeySlots) {
      return Fail(Code::kInvalidArgument, "Invalid keyslot {} specified, must be between 0 and {}", slot,
                  kKeySlots - 1);
    }
    if (!slots[slot].active)
      return Fail(Code::kInvalidArgument, "Given keyslot {} is already erased (inactive) ", slot);
    if (old && !TRY(UnlockSlot(*volume, slot, *old))) {
      return Fail(Code::kInvalidArgument,
                  "Given keyslot {} doesn't contain the given old password for erase operation", slot);
    }
    if (active == 1) {
      return Fail(Code::kFailedPrecondition,
                  "Attempt to erase the only active keyslot {} which will erase all the data in the image "
                  "irreversibly - refusing operation",
                  slot);
    }
    return EraseSlot(volume, slot);
  }
  if (!old) {
    return Fail(
        Code::kInvalidArgument,
        "To erase keyslot(s), either explicit keyslot index or the password currently contained in them "
        "must be given");
  }
  std::vector<size_t> matching;
  for (size_t slot = 0; slot < kKeySlots; ++slot) {
    if (slots[slot].active && TRY(UnlockSlot(*volume, slot, *old))) matching.push_back(slot);
  }
  if (matching.empty())
    return Fail(Code::kInvalidArgument, "No keyslots match given (old) password for erase operation");
  if (static_cast<ptrdiff_t>(matching.size()) == active) {
    return Fail(
        Code::kFailedPrecondition,
        "All the active keyslots match the (old) password that was given and erasing them will erase all "
        "the data in the image irreversibly - refusing operation");
  }
  for (const size_t slot : matching) TRY(EraseSlot(volume, slot));
  return Ok();
}

}  // namespace

Result<Parameters> ParametersOf(const CreateOptions& options, std::string_view prefix) {
  const std::string secret = options.String(Named(prefix, "key-secret"));
  Parameters parameters;
  Header& header = parameters.header;
  const std::string cipher = options.String(Named(prefix, "cipher-alg"));
  const auto* named =
      std::find_if(std::begin(kCipherNames), std::end(kCipherNames),
                   [&](const CipherName& one) { return one.name == (cipher.empty() ? "aes-256" : cipher); });
  if (named == std::end(kCipherNames))
    return Fail(Code::kInvalidArgument, "Parameter 'cipher-alg' does not accept value '{}'", cipher);
  header.cipher.algorithm = named->algorithm;
  header.cipher.mode = TRY(OneOf(options, prefix, "cipher-mode", "xts", {"ecb", "cbc", "xts", "ctr"}));
  header.cipher.iv = TRY(OneOf(options, prefix, "ivgen-alg", "plain64", {"plain", "plain64", "essiv"}));
  header.hash = TRY(OneOf(options, prefix, "hash-alg", "sha256",
                          {"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"}));
  const std::string iv_hash =
      TRY(OneOf(options, prefix, "ivgen-hash-alg", "sha256",
                {"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"}));
  if (header.cipher.iv == "essiv") header.cipher.iv_hash = iv_hash;
  header.key_bytes = named->key_bytes * (header.cipher.mode == "xts" ? 2 : 1);
  const uint64_t slot_bytes = AlignUp(header.material_bytes(), kAlignmentBytes);
  for (size_t i = 0; i < kKeySlots; ++i) {
    header.slots[i].material_sector =
        static_cast<uint32_t>((kAlignmentBytes + i * slot_bytes) / kSectorBytes);
  }
  header.payload_sector = static_cast<uint32_t>((kAlignmentBytes + kKeySlots * slot_bytes) / kSectorBytes);
  if (secret.empty())
    return Fail(Code::kInvalidArgument, "Parameter '{}key-secret' is required for cipher", prefix);
  parameters.password = TRY(FindSecret(secret));
  if (options.Has(Named(prefix, "iter-time"))) {
    if (const uint64_t wanted = options.Number(Named(prefix, "iter-time")); wanted != 0) {
      parameters.milliseconds = wanted;
    }
  }
  return parameters;
}

uint64_t VolumeHeaderBytes(const Parameters& parameters) { return parameters.header.payload_bytes(); }

Result<SecretBytes> MakeVolume(Image* file, uint64_t at, const Parameters& parameters) {
  Volume volume{.file = file, .at = at, .header = parameters.header};
  Header& header = volume.header;
  header.uuid = UuidText(RandomGuid());
  SecretBytes master_key(header.key_bytes);
  FillRandom(master_key);
  FillRandom(header.digest_salt);
  // An eighth of a password's: nobody guesses a master key.
  header.digest_iterations = TRY(CountIterations(header.hash, kDigestBytes, parameters.milliseconds / 8));
  TRY(TRY(TheCryptoLibrary())
          ->DeriveKey(header.hash, master_key, header.digest_salt, header.digest_iterations, header.digest));
  TRY(StoreKey(&volume, 0, master_key, parameters.password, parameters.milliseconds));
  return master_key;
}

bool AsksForKeyChange(const CreateOptions& options, std::string_view prefix) {
  return std::any_of(options.table().begin(), options.table().end(), [&](const CreateOption& option) {
    return option.name.starts_with(prefix) && options.Has(option.name);
  });
}

Status ChangeKeys(Volume* volume, std::span<const uint8_t> master_key, const CreateOptions& options,
                  std::string_view prefix) {
  const std::string state = options.String(Named(prefix, "state"));
  if (state.empty()) return Fail(Code::kInvalidArgument, "Parameter 'state' is missing");
  if (state == "active") return Activate(volume, master_key, options, prefix);
  if (state == "inactive") return Deactivate(volume, options, prefix);
  return Fail(Code::kInvalidArgument, "Parameter 'state' does not accept value '{}'", state);
}

nlohmann::ordered_json Describe(const Header& header) {
  nlohmann::ordered_json data;
  const uint32_t key_bytes = header.key_bytes / (header.cipher.mode == "xts" ? 2 : 1);
  const auto* named =
      std::find_if(std::begin(kCipherNames), std::end(kCipherNames), [&](const CipherName& one) {
        return one.algorithm == header.cipher.algorithm && one.key_bytes == key_bytes;
      });
  data["ivgen-alg"] = header.cipher.iv;
  if (!header.cipher.iv_hash.empty()) data["ivgen-hash-alg"] = header.cipher.iv_hash;
  data["hash-alg"] = header.hash;
  data["cipher-alg"] = named != std::end(kCipherNames) ? std::string(named->name) : header.cipher.algorithm;
  data["cipher-mode"] = header.cipher.mode;
  data["uuid"] = header.uuid;
  data["payload-offset"] = header.payload_bytes();
  data["master-key-iters"] = header.digest_iterations;
  auto slots = nlohmann::ordered_json::array();
  for (const KeySlot& slot : header.slots) {
    nlohmann::ordered_json one{{"active", slot.active}, {"key-offset", slot.material_sector * kSectorBytes}};
    if (slot.active) {
      one["iters"] = slot.iterations;
      one["stripes"] = kStripes;
    }
    slots.push_back(std::move(one));
  }
  data["slots"] = std::move(slots);
  return data;
}

Result<SecretBytes> MasterKeyBySecret(const Volume& volume, const std::string& secret_id) {
  return Unlock(volume, TRY(FindSecret(secret_id)));
}

}  // namespace berth::block::luks
