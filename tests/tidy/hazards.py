#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
hazards - keeps docs/hazards.md and the tests together. A test that shows promise 7 has `hz07_` in its name; the document lists, under
each promise, the tests that do. `hazards.py` says what is missing or out of date and ends with 1; `hazards.py --write` brings the
document up to date.
"""
import os
import re
import sys

DOCUMENT = os.path.join("docs", "hazards.md")
PROMISE = re.compile(r"^(\d+[a-z]?)\. ")
TESTS = re.compile(r"^   (Tests|No test yet)\b")
NAME = re.compile(r"\b(?:test_)?hz0*(\d+[a-z]?)_\w+")


def tests_of(root):
    """Promise -> sorted list of (file, test name)."""
    found = {}
    for folder, folders, names in os.walk(os.path.join(root, "tests")):
        folders[:] = sorted(f for f in folders if f not in ("__pycache__", "corpus", "tidy"))
        for name in sorted(names):
            if name.endswith((".c", ".py")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    for hit in NAME.finditer(file.read()):
                        found.setdefault(hit.group(1), set()).add((os.path.relpath(path, root), hit.group(0)))
    return {number: sorted(tests) for number, tests in found.items()}


def listing(tests):
    """The lines under a promise."""
    if not tests:
        return ["   No test yet."]
    files = {}
    for path, name in tests:
        files.setdefault(path, []).append(f"`{name}`")
    return ["   Tests:"] + [f"   - {path}: {', '.join(names)}" for path, names in sorted(files.items())]


def generate(text, tests):
    """The document with the list under each promise made new; everything else stays."""
    out, number = [], None

    def finish():
        nonlocal number
        if number is not None:
            blank = []
            while out and not out[-1]:
                blank.append(out.pop())
            out.extend(listing(tests.get(number)) + blank)
            number = None

    skipping = False
    for line in text.split("\n"):
        promise = PROMISE.match(line)
        if promise or line.startswith("#"):
            finish()
        if TESTS.match(line):
            skipping = True
            continue
        if skipping and line.startswith("   - "):
            continue
        skipping = False
        out.append(line)
        if promise:
            number = promise.group(1)
    finish()
    return "\n".join(out).rstrip("\n") + "\n"


def read(root):
    with open(os.path.join(root, DOCUMENT), encoding="utf-8") as file:
        return file.read()


def verify(root):
    """Words for what is wrong; empty when all is well."""
    text, tests = read(root), tests_of(root)
    promised = {match.group(1) for match in map(PROMISE.match, text.splitlines()) if match}
    wrong = [f"{path}: {name} shows a promise that is not in the list" for number in sorted(set(tests) - promised)
             for path, name in tests[number]]
    if generate(text, tests) != text:
        wrong.append("the lists of tests are out of date: run tests/tidy/hazards.py --write")
    return wrong


def main(arguments):
    root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    if arguments == ["--write"]:
        text = generate(read(root), tests_of(root))
        with open(os.path.join(root, DOCUMENT), "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    wrong = verify(root)
    for words in wrong:
        print(f"{DOCUMENT}: {words}")
    return 1 if wrong or arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
