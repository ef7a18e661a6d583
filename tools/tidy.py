"""Runs clang-tidy over sources, remembering what was clean.

A source is looked at again only when it, a header of ours that it includes, or the list of checks has changed: the
remembered key is a hash of all of these and of clang-tidy itself, kept in ~/.cache/berth-tidy for all trees.
"""
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import source_groups

INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.M)


class Closure:
    """The contents of a file and of everything of ours that it includes, as one hash."""

    def __init__(self, root, generated):
        self.root = root
        self.generated = generated
        self.texts = {}

    def key(self, name, salt):
        digest = hashlib.sha256(salt)
        seen, todo = set(), [name]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            text = self._text(path)
            if text is None:
                continue
            digest.update(path.encode() + b"\0" + text)
            todo.extend(sorted(INCLUDE.findall(text.decode("utf-8", "replace")), reverse=True))
        return digest.hexdigest()

    def _text(self, path):
        if path not in self.texts:
            candidates = [self.root / path, self.generated / path]
            found = next((c for c in candidates if c.is_file()), None)
            self.texts[path] = found.read_bytes() if found else None
        return self.texts[path]


def run(root, names):
    # The dev preset: clang does not know all of GCC's flags for link-time optimization.
    tree = root / "build" / "dev"
    generate = subprocess.run([root / "tools/generate", "dev"], capture_output=True, text=True)
    if generate.returncode != 0:
        yield f"tools/generate dev failed: {generate.stdout[-500:]}{generate.stderr[-500:]}"
        return
    commands = json.loads((tree / "compile_commands.json").read_text())
    flags = {os.path.relpath(entry["file"], root): flags_of(entry) for entry in commands}
    memory = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "berth-tidy"
    memory.mkdir(parents=True, exist_ok=True)
    forget_old(memory)
    closure = Closure(root, tree / "gen")
    version = subprocess.run(["clang-tidy", "--version"], check=True, capture_output=True).stdout
    salt = (root / ".clang-tidy").read_bytes() + version
    marks = {}
    for name in names:
        if name in flags:
            mark = memory / closure.key(name, salt)
            if mark.exists():
                mark.touch()
            else:
                marks[name] = mark

    tree_of_groups = root / "build" / "tidy"
    shutil.rmtree(tree_of_groups, ignore_errors=True)
    tree_of_groups.mkdir(parents=True)

    def look(group):
        """The findings in some sources, each "file:line:...", looked at as one."""
        unit = tree_of_groups / (hashlib.sha256(" ".join(group).encode()).hexdigest()[:12] + ".cc")
        unit.write_text("".join(f'#include "{root}/{name}"\n' for name in group))
        command = ["clang-tidy", "--quiet", str(unit), "--", *flags[group[0]], "-Wno-unknown-warning-option"]
        if len(group) > 1:
            command.append("-Wno-shadow")
        result = subprocess.run(command, cwd=root, capture_output=True, text=True)
        lines = [line.replace(f"{root}/", "") for line in result.stdout.splitlines()
                 if re.search(r": (error|warning): ", line)]
        failed = result.returncode != 0 and (not lines or any("[clang-diagnostic" in line for line in lines))
        if failed and len(group) > 1:
            # Not meant to be one: names that meet.
            return [finding for name in group for finding in look([name])]
        if result.returncode != 0 and not lines:
            lines = [f"{group[0]}: clang-tidy failed: {result.stderr.strip()[-500:]}"]
        if not lines:
            for name in group:
                marks[name].touch()
        return lines

    alike = collections.defaultdict(list)
    for name in sorted(marks):
        alike[pathlib.PurePath(name).parent, tuple(flags[name])].append(name)
    groups = [group for names in alike.values() for group in source_groups.in_groups(names)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = set()
        for findings in pool.map(look, groups):
            for finding in findings:
                if finding not in seen:  # A header's finding comes once a source that includes it.
                    seen.add(finding)
                    yield finding


def forget_old(memory):
    """Lets go of what nobody asked about for a month."""
    for mark in memory.iterdir():
        if mark.stat().st_mtime < time.time() - 30 * 24 * 3600:
            mark.unlink(missing_ok=True)


def flags_of(entry):
    """What a compilation is told besides its file and what it makes of it."""
    words = shlex.split(entry["command"])[1:]
    result, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-c"):
            skip = True
        elif not word.endswith(entry["file"]) and "ccache" not in word and not re.search(r"/(g|clang)\+\+$", word):
            result.append(word)
    return result
