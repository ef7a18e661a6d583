"""The include rules: read from the table of docs/ARCHITECTURE.md, held against a source file.

A room is the longest directory that the table names: hw/pci/msix.cc is in hw/pci, server/api/x.cc in server. A file may
include its own room, base, what its room's rows name (a name stands for everything below it, unless that has rows of its
own and is named apart: `vfio` does not stand for `vfio/bind`), and, if it is a test, tests/ and what its room may.
"""
import re

HEADING = "Who may include whom"
# What only one room may see, whoever else may include that room.
PRIVATE_HEADERS = {
    "linux/kvm.h": ["kvm"],
    "linux/vfio.h": ["vfio", "vmm"],  # The sandbox's filters name its ioctls.
}
# Libraries that a room's process must not have.
LIBRARIES = {
    r"grpc(pp)?/|grpc\+\+/": ["server", "cli"],
    r"netlink/": ["net/host"],
    r"sqlite3\.h": ["server"],
    r"hwloc\.h": ["host", "server"],
    r"liburing\.h": ["block", "base"],
    r"seccomp\.h": ["vmm"],
}


class Rules:
    def __init__(self):
        self.allowed = {"base": set()}

    def room_of(self, path):
        parts = path.split("/")[:-1]
        for length in range(len(parts), 0, -1):
            room = "/".join(parts[:length])
            if room in self.allowed:
                return room
        if parts and parts[0] == "hw":
            return "hw"
        return None

    def may_include(self, room, other):
        if other in (room, "base"):
            return True
        # `hw` names all of hw/; otherwise a room with rows of its own must be named itself.
        return other in self.allowed[room] or (other.split("/")[0] == "hw" and "hw" in self.allowed[room])


def parse(document):
    rules = Rules()
    table = document.split(HEADING, 1)[1].split("\n\n", 2)[1]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rooms = re.findall(r"`([^`]+)`", cells[0])
        names = re.findall(r"`([^`]+)`", cells[1].split("never")[0])
        if "control proto" in cells[1]:
            names.append("proto")
        for room in rooms:
            rules.allowed.setdefault(room, set()).update(names)
    return rules


def check(rules, name, text):
    test = name.startswith("tests/")
    room = rules.room_of(name.removeprefix("tests/"))
    if room is None and not test:
        yield f"{name}: in no room of docs/ARCHITECTURE.md"
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if not match:
            continue
        ours, library = match.groups()
        where = f"{name}:{number}"
        if library:
            for pattern, rooms in LIBRARIES.items():
                if re.match(pattern, library) and not test and room not in rooms:
                    yield f"{where}: {room} may not use <{library}>; only {', '.join(rooms)}"
            if library in PRIVATE_HEADERS and not test and room.split("/")[0] not in PRIVATE_HEADERS[library]:
                yield f"{where}: only {', '.join(PRIVATE_HEADERS[library])} may see <{library}>"
            continue
        if ours.startswith("berth/"):
            other = "proto"
        elif ours.startswith("google/"):
            continue
        elif re.match(r"(gtest|gmock|benchmark)/", ours):
            yield f"{where}: a library's header goes in angle brackets: <{ours}>"
            continue
        elif ours.startswith("tests/"):
            if not test:
                yield f"{where}: only tests may include {ours}"
            continue
        else:
            other = rules.room_of(ours)
        if other is None:
            yield f'{where}: "{ours}" is in no room; include by the path from the root'
        elif room is not None and other != "proto" and not rules.may_include(room, other):
            yield f"{where}: {room} may not include {ours} (docs/ARCHITECTURE.md)"
        elif room not in (None, "proto") and other == "proto" and "proto" not in rules.allowed[room]:
            yield f"{where}: {room} may not include {ours} (docs/ARCHITECTURE.md)"
