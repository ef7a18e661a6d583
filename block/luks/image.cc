// The format luks: a LUKS1 volume as a disk.
#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "block/crypto/sealed_bytes.h"
#include "block/driver.h"
#include "block/luks/volume.h"
#include "block/new_file.h"

namespace berth::block::luks {
namespace {

using Type = CreateOption::Type;

constexpr CreateOption kCreateOptions[] = {
    {"size", Type::kSize, "Virtual disk size"},
    {"key-secret", Type::kString, "ID of the secret that provides the keyslot passphrase"},
    {"cipher-alg", Type::kString, "Name of encryption cipher algorithm"},
    {"cipher-mode", Type::kString, "Name of encryption cipher mode"},
    {"ivgen-alg", Type::kString, "Name of IV generator algorithm"},
    {"ivgen-hash-alg", Type::kString, "Name of IV generator hash algorithm"},
    {"hash-alg", Type::kString, "Name of encryption hash algorithm"},
    {"iter-time", Type::kNumber, "Time to spend in PBKDF in milliseconds"},
};
constexpr CreateOption kAmendOptions[] = {
    {"state", Type::kString, "Select new state of affected keyslots (active/inactive)"},
    {"new-secret", Type::kString, "New secret to set in the matching keyslots. Empty string to erase"},
    {"old-secret", Type::kString, "Select all keyslots that match this password"},
    {"keyslot", Type::kNumber, "Select a single keyslot to modify explicitly"},
    {"iter-time", Type::kNumber, "Time to spend in PBKDF in milliseconds"},
};

class LuksImage final : public FormatImage {
 public:
  // `key`: the master key; empty for who only asks about the image.
  LuksImage(std::unique_ptr<Image> file, Header header, SecretBytes key, std::unique_ptr<SealedBytes> payload,
            bool writable)
      : FormatImage(std::move(file)),
        volume_{.file = this->file(), .header = std::move(header)},
        key_(std::move(key)),
        payload_(std::move(payload)),
        limits_(this->file()->limits()) {
    limits_.read_only |= !writable;
    limits_.block_size_bytes = std::max<uint32_t>(limits_.block_size_bytes, kSectorBytes);
  }

  uint64_t size_bytes() const override {
    const uint64_t all = file()->size_bytes(), start = volume_.header.payload_bytes();
    return all < start ? 0 : AlignUp(all - start, kSectorBytes);
  }
  const Limits& limits() const override { return limits_; }
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override { return {.encrypted = true}; }
  nlohmann::ordered_json SpecificInfo() const override {
    return {{"type", "luks"}, {"data", Describe(volume_.header)}};
  }

  int Perform(const Request& request) override {
    if (const int error = CheckRequest(request, size_bytes(), limits_.read_only); error != 0) return error;
    if (payload_ == nullptr) return ENOKEY;
    const uint64_t at = volume_.header.payload_bytes() + request.offset;
    switch (request.op) {
      case Op::kRead:
        return payload_->Read(file(), at, request.offset, request.length, request.pieces);
      case Op::kWrite:
        return payload_->Write(file(), at, request.offset, request.length, request.pieces, request.fua);
      case Op::kWriteZeroes:
        return WriteZeroes(request);
      case Op::kFlush:
        return file()->Perform(request);
      case Op::kDiscard:  // Would tell which sectors are in use.
        return 0;
    }
    return EINVAL;
  }

  Status Resize(uint64_t size_bytes, Preallocation preallocation) override {
    const uint64_t start = volume_.header.payload_bytes();
    if (size_bytes > INT64_MAX - start)
      return Fail(Code::kOutOfRange, "The requested file size is too large");
    return file()->Resize(start + size_bytes, preallocation);
  }

  Status Amend(const CreateOptions& options) { return ChangeKeys(&volume_, key_, options, ""); }

 private:
  int WriteZeroes(const Request& request) {
    const std::vector<uint8_t> zeroes(std::min<uint64_t>(request.length, 1 << 20));
    for (uint64_t done = 0; done < request.length;) {
      const uint64_t step = std::min<uint64_t>(zeroes.size(), request.length - done);
      const iovec piece{const_cast<uint8_t*>(zeroes.data()), step};
      const uint64_t offset = request.offset + done;
      const int error = payload_->Write(file(), volume_.header.payload_bytes() + offset, offset, step,
                                        {&piece, 1}, request.fua);
      if (error != 0) return error;
      done += step;
    }
    return 0;
  }

  Volume volume_;
  const SecretBytes key_;
  const std::unique_ptr<SealedBytes> payload_;
  Limits limits_;
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  const auto secret = Take(&context->options, "key-secret");
  Volume volume{.file = context->file.get(), .header = TRY(ReadHeader(context->file.get(), 0))};
  if (volume.header.payload_sector == 0) {
    return Fail(Code::kUnimplemented,
                "the LUKS header is one of a volume elsewhere: detached headers are not supported");
  }
  SecretBytes key;
  std::unique_ptr<SealedBytes> payload;
  if (!context->flags.no_io) {
    if (!secret) return Fail(Code::kInvalidArgument, "Parameter 'key-secret' is required for cipher");
    key = TRY(MasterKeyBySecret(volume, *secret));
    payload = std::make_unique<SealedBytes>(TRY(DiskCipher::Create(volume.header.cipher, key)));
  }
  return std::make_unique<LuksImage>(std::move(context->file), std::move(volume.header), std::move(key),
                                     std::move(payload), context->flags.writable);
}

Status Create(const std::string& filename, const CreateOptions& options) {
  const Parameters parameters = TRY(ParametersOf(options, ""));
  const uint64_t size = AlignUp(options.Number("size"), kSectorBytes), start = VolumeHeaderBytes(parameters);
  if (size > INT64_MAX - start) return Fail(Code::kOutOfRange, "The requested file size is too large");
  auto file = TRY(CreateFileFor(filename, start + size));
  TRY(MakeVolume(file.get(), 0, parameters));
  return Ok();
}

Status Amend(FormatImage* image, const CreateOptions& options) {
  return dynamic_cast<LuksImage*>(image)->Amend(options);
}

Result<Measurement> Measure(const CreateOptions& options, Image* source) {
  const uint64_t size = source != nullptr ? source->size_bytes() : options.Number("size");
  const uint64_t all = size + VolumeHeaderBytes(TRY(ParametersOf(options, "")));
  return Measurement{all, all};
}

}  // namespace
}  // namespace berth::block::luks

namespace berth::block {

const Format kLuksFormat{.name = "luks",
                         .probe = [](std::span<const uint8_t> head,
                                     std::string_view) { return luks::LooksLikeHeader(head) ? 100 : 0; },
                         .open = luks::Open,
                         .create_options = luks::kCreateOptions,
                         .create = luks::Create,
                         .amend_options = luks::kAmendOptions,
                         .amend = luks::Amend,
                         .measure = luks::Measure};

}  // namespace berth::block
