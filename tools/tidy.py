"""Runs clang-tidy over sources, remembering what was clean.

A source is looked at again only when it, a header of ours that it includes, or the list of checks has changed: the
remembered key is a hash of all of these, kept in build/tidy.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess

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
    known = {os.path.relpath(entry["file"], root) for entry in commands}
    memory = root / "build" / "tidy"
    memory.mkdir(parents=True, exist_ok=True)
    closure = Closure(root, tree / "gen")
    salt = (root / ".clang-tidy").read_bytes()
    work = []
    for name in names:
        if name in known:
            mark = memory / closure.key(name, salt)
            if mark.exists():
                mark.touch()
            else:
                work.append((name, mark))

    def look(item):
        name, mark = item
        result = subprocess.run(["clang-tidy", "-p", str(tree), "--quiet", "--extra-arg=-Wno-unknown-warning-option", name], cwd=root, capture_output=True,
                                text=True)
        findings = [line.replace(f"{root}/", "") for line in result.stdout.splitlines()
                    if re.search(r": (error|warning): ", line)]
        if result.returncode == 0 and not findings:
            mark.touch()
        elif not findings:
            findings = [f"{name}: clang-tidy failed: {result.stderr.strip()[-500:]}"]
        return findings

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = set()
        for findings in pool.map(look, work):
            for finding in findings:
                if finding not in seen:  # A header's finding comes once a source that includes it.
                    seen.add(finding)
                    yield finding
