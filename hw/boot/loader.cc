#include "hw/boot/loader.h"

#include <algorithm>

#include "hw/boot/bzimage.h"
#include "hw/boot/elf.h"

namespace berth::hw {

Result<BootEntry> LoadBoot(const BootSources& sources, const BootTarget& target) {
  const auto name = [](Error error) {
    return Fail(std::move(error).Reason("KERNEL_UNUSABLE").Field("guest.boot.kernel"));
  };
  Result<BootEntry> entry =
      LooksLikeElf(*sources.kernel) ? LoadPvh(sources, target)
      : LooksLikeBzImage(*sources.kernel)
          ? LoadLinux(sources, target)
          : Fail(Code::kInvalidArgument,
                 "the kernel ({}) is neither a bzImage nor an ELF file with a PVH entry",
                 HumanSize(sources.kernel->size_bytes()));
  if (!entry && entry.error().reason().empty()) return name(std::move(entry).error());
  return entry;
}

Status LoadInto(const GuestMemory& memory, uint64_t address, ByteSource& file, uint64_t offset,
                uint64_t size) {
  constexpr uint64_t kChunk = 256 * kMiB;  // GuestBuffer has 32 bits.
  for (uint64_t done = 0; done < size;) {
    const uint64_t part = std::min(size - done, kChunk);
    std::vector<iovec> pieces;
    if (!memory.AppendTo({address + done, static_cast<uint32_t>(part)}, &pieces)) {
      return Fail(Code::kResourceExhausted, "{} at {:#x} do not fit into the guest's memory", HumanSize(size),
                  address);
    }
    TRY(file.Read(offset + done, pieces));
    done += part;
  }
  return Ok();
}

Result<Range> LoadInitrd(const BootSources& sources, const BootTarget& target, uint64_t lowest,
                         uint64_t last_address) {
  if (sources.initrd == nullptr || sources.initrd->size_bytes() == 0) return Range{};
  constexpr uint64_t kPage = 4 * kKiB;
  const uint64_t size = sources.initrd->size_bytes();
  const uint64_t end = std::min(target.addresses.low_ram.end(), last_address + 1);
  if (size > end || AlignDown(end - size, kPage) < lowest) {
    return Fail(
        Error(Code::kResourceExhausted,
              fmt::format(
                  "the initrd ({}) does not fit between the kernel and {:#x}: the guest needs more memory",
                  HumanSize(size), end))
            .Reason("INITRD_TOO_LARGE")
            .Field("guest.boot.initrd"));
  }
  const uint64_t address = AlignDown(end - size, kPage);
  TRY(LoadInto(*target.memory, address, *sources.initrd, 0, size));
  return Range{address, size};
}

Status LoadCommandLine(const BootSources& sources, const BootTarget& target, uint64_t max_bytes) {
  const std::string& line = sources.command_line;
  const uint64_t limit = std::min(max_bytes, map::kCommandLineMax - 1);
  if (line.size() > limit) {
    return Fail(Error(Code::kInvalidArgument,
                      fmt::format("the command line has {} bytes, the kernel takes {}", line.size(), limit))
                    .Reason("COMMAND_LINE_TOO_LONG")
                    .Field("guest.boot.command_line"));
  }
  const std::span bytes(reinterpret_cast<const uint8_t*>(line.c_str()), line.size() + 1);
  if (!target.memory->Write(map::kCommandLine, bytes)) {
    return Fail(Code::kResourceExhausted, "the guest has less than 1 MiB of memory");
  }
  return Ok();
}

}  // namespace berth::hw
