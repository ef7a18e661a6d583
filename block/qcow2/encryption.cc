#include "block/qcow2/encryption.h"

#include <algorithm>

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kExtensionBytes = 16;
constexpr size_t kAesKeyBytes = 16;
// Of a LUKS header with its key material, eight times what is usual: each cluster of it is kept from being
// written over.
constexpr uint64_t kMaxLuksBytes = 16 << 20;

std::string_view MethodName(uint32_t method) { return method == kAes ? "aes" : "luks"; }

Result<std::unique_ptr<SealedBytes>> AesContent(const SecretBytes& password) {
  SecretBytes key(kAesKeyBytes);
  std::copy_n(password.begin(), std::min(password.size(), key.size()), key.begin());
  return std::make_unique<SealedBytes>(TRY(DiskCipher::Create({.mode = "cbc", .iv = "plain64"}, key)));
}

Result<std::unique_ptr<SealedBytes>> LuksContent(const luks::Volume& volume, const SecretBytes& key) {
  return std::make_unique<SealedBytes>(TRY(DiskCipher::Create(volume.header.cipher, key)));
}

}  // namespace

Result<Range> EncryptionHeaderPlace(const Header& header) {
  for (const Extension& extension : header.unknown_extensions) {
    if (extension.type != kExtensionEncryption) continue;
    if (extension.data.size() != kExtensionBytes) {
      return Fail(Code::kInvalidArgument, "CRYPTO header extension size {}, but expected size {}",
                  extension.data.size(), kExtensionBytes);
    }
    const Range place{LoadBe<uint64_t>(&extension.data[0]), LoadBe<uint64_t>(&extension.data[8])};
    if (place.start >= kMaxHostOffset || place.size >= kMaxHostOffset ||
        !IsAligned(place.start, header.cluster_bytes())) {
      return Fail(Code::kInvalidArgument,
                  "Encryption header offset '{}' is not a multiple of cluster size '{}'", place.start,
                  header.cluster_bytes());
    }
    return place;
  }
  return Fail(Code::kInvalidArgument,
              "the image is encrypted with LUKS and says nothing of where its header is");
}

void SetEncryptionHeaderPlace(Header* header, const Range& place) {
  Extension extension{.type = kExtensionEncryption, .data = std::vector<uint8_t>(kExtensionBytes)};
  StoreBe(&extension.data[0], place.start);
  StoreBe(&extension.data[8], place.size);
  header->unknown_extensions.push_back(std::move(extension));
}

Result<std::unique_ptr<Encryption>> OpenEncryption(Image* file, const Header& header, Options* options,
                                                   bool ask_only) {
  Options own = TakePrefix(options, "encrypt.");
  const auto format = Take(&own, "format"), secret = Take(&own, "key-secret");
  if (header.encryption == 0) {
    if (!format) return nullptr;
    return Fail(Code::kInvalidArgument, "No encryption in image header, but options specified format '{}'",
                *format);
  }
  const std::string_view method = MethodName(header.encryption);
  if (format && *format != method) {
    return Fail(Code::kInvalidArgument, "Header reported '{}' encryption format but options specify '{}'",
                method, *format);
  }
  if (!own.empty()) return Fail(Code::kInvalidArgument, "Parameter '{}' is unexpected", own.begin()->first);
  auto encryption = std::make_unique<Encryption>();
  encryption->by_place = header.encryption == kLuks;
  if (encryption->by_place) {
    const Range place = TRY(EncryptionHeaderPlace(header));
    encryption->volume = {
        .file = file, .at = place.start, .header = TRY(luks::ReadHeader(file, place.start))};
    const uint64_t payload = encryption->volume.header.payload_bytes();
    if (payload == 0 || payload > place.size || payload > kMaxLuksBytes)
      return Fail(Code::kInvalidArgument, "the LUKS header is larger than its place in the image");
  }
  if (ask_only) return encryption;
  if (!secret) return Fail(Code::kInvalidArgument, "Parameter 'encrypt.key-secret' is required for cipher");
  if (encryption->by_place) {
    encryption->master_key = TRY(luks::MasterKeyBySecret(encryption->volume, *secret));
    encryption->content = TRY(LuksContent(encryption->volume, encryption->master_key));
  } else {
    encryption->content = TRY(AesContent(TRY(FindSecret(*secret))));
  }
  return encryption;
}

Result<EncryptionRequest> EncryptionRequestOf(const CreateOptions& options) {
  std::string format = options.String("encrypt.format");
  if (options.Has("encryption")) {
    if (!format.empty()) {
      return Fail(Code::kInvalidArgument,
                  "'encrypt.format' and its alias 'encryption' can't be used at the same time");
    }
    if (options.Bool("encryption")) format = "aes";
  }
  EncryptionRequest request;
  if (format == "luks") {
    request.method = kLuks;
    request.luks = TRY(luks::ParametersOf(options, "encrypt."));
    return request;
  }
  for (const CreateOption& option : options.table()) {
    if (!option.name.starts_with("encrypt.") || option.name == "encrypt.format" || !options.Has(option.name))
      continue;
    if (format.empty()) return Fail(Code::kInvalidArgument, "Parameter 'encrypt.format' is missing");
    if (option.name != "encrypt.key-secret")
      return Fail(Code::kInvalidArgument, "Parameter '{}' is unexpected", option.name);
  }
  if (format.empty()) return request;
  if (format != "aes")
    return Fail(Code::kInvalidArgument, "Parameter 'format' does not accept value '{}'", format);
  const std::string secret = options.String("encrypt.key-secret");
  if (secret.empty())
    return Fail(Code::kInvalidArgument, "Parameter 'encrypt.key-secret' is required for cipher");
  request.method = kAes;
  request.password = TRY(FindSecret(secret));
  return request;
}

Result<std::unique_ptr<Encryption>> MakeEncryption(Image* file, const Header& header,
                                                   const EncryptionRequest& request) {
  if (request.method == 0) return nullptr;
  auto encryption = std::make_unique<Encryption>();
  if (request.method == kAes) {
    encryption->content = TRY(AesContent(request.password));
    return encryption;
  }
  const Range place = TRY(EncryptionHeaderPlace(header));
  if (file->size_bytes() < place.end()) TRY(file->Resize(place.end(), Preallocation::kOff));
  encryption->by_place = true;
  encryption->master_key = TRY(luks::MakeVolume(file, place.start, request.luks));
  encryption->volume = {.file = file, .at = place.start, .header = TRY(luks::ReadHeader(file, place.start))};
  encryption->content = TRY(LuksContent(encryption->volume, encryption->master_key));
  return encryption;
}

}  // namespace berth::block::qcow2
