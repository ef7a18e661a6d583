#!/usr/bin/env python3
"""Puts sources into groups that a compiler can read as one, so that what they all include is read once.

usage: source_groups.py FILE...        prints a line for each: "GROUP FILE", groups counted from 0

Sources of a group define no name twice. That is told by their text alone: .clang-format puts what is defined at the
outermost level at the start of a line.
"""
import pathlib
import re
import sys

MOST = 8  # Sources in a group.

DEFINED = re.compile(r"^(?:(?:struct|class|enum(?: class)?|union) (\w+)\b|using (\w+) =|"
                     r"(?!TEST|using|namespace|return|[A-Z_]+\()[\w:][^\n]*?(?<!::)\b(?!const\b)(\w+)(?:\[\w*\])? ?[({=;])",
                     re.M)
CONSTANT = re.compile(r"\b(k[A-Z]\w*) =")  # Several are declared at once, and on several lines.


def in_groups(sources, most=MOST):
    """The sources, paths, as lists of such groups, in their order."""
    groups = []
    for source in sources:
        text = pathlib.Path(source).read_text(encoding="utf-8", errors="replace")
        defined = {"".join(match) for match in DEFINED.findall(text)} | set(CONSTANT.findall(text))
        for names, members in groups:
            if len(members) < most and not names & defined:
                break
        else:
            names, members = set(), []
            groups.append((names, members))
        names |= defined
        members.append(source)
    return [members for _, members in groups]


if __name__ == "__main__":
    for number, group in enumerate(in_groups(sys.argv[1:])):
        for name in group:
            print(number, name)
