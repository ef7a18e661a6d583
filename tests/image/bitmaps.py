"""Persistent bitmaps of a qcow2 file, read by nothing but the published specification."""
import struct

BITMAPS_EXTENSION = 0x23852875
OFFSET_MASK = 0x00fffffffffffe00


def extension_of(head, kind):
    """The data of a header extension; None if there is none."""
    at = struct.unpack_from(">I", head, 100)[0] if struct.unpack_from(">I", head, 4)[0] == 3 else 72
    while at + 8 <= len(head):
        found, length = struct.unpack_from(">II", head, at)
        if found == 0:
            return None
        if found == kind:
            return head[at + 8:at + 8 + length]
        at += 8 + (length + 7) // 8 * 8
    return None


def bitmaps_of(path):
    """Name: (flags, bits of granularity, the bits as a number) of each bitmap that is consistent."""
    with open(path, "rb") as file:
        head = file.read(65536)
        if head[:4] != b"QFI\xfb" or struct.unpack_from(">I", head, 4)[0] != 3 or not head[95] & 1:
            return {}
        cluster = 1 << struct.unpack_from(">I", head, 20)[0]
        extension = extension_of(head[:cluster], BITMAPS_EXTENSION)
        if extension is None:
            return {}
        count, _, size, offset = struct.unpack(">IIQQ", extension[:24])
        file.seek(offset)
        directory, at, all_bitmaps = file.read(size), 0, {}
        for _ in range(count):
            table, entries, flags, _, granularity, name_length, extra = struct.unpack_from(">QIIBBHI", directory, at)
            name = directory[at + 24 + extra:at + 24 + extra + name_length].decode()
            at += (24 + extra + name_length + 7) // 8 * 8
            file.seek(table)
            bits = b""
            for entry in struct.unpack(f">{entries}Q", file.read(8 * entries)):
                file.seek(entry & OFFSET_MASK)
                bits += file.read(cluster) if entry & OFFSET_MASK else (b"\xff" if entry & 1 else b"\0") * cluster
            all_bitmaps[name] = flags, granularity, int.from_bytes(bits, "little")
        return all_bitmaps
