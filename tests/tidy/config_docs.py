#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
config_docs - docs/config.md from the tables in the programs. `config_docs.py BIN_DIR` says whether the document is what the programs in
BIN_DIR print and ends with 1 when it is not; `config_docs.py --write BIN_DIR` writes it.
"""
import os
import subprocess
import sys

PROGRAMS = ["bivouac-control", "bivouac-gateway", "bivouac-vmhost"]
COMMANDS = {"bivouac-control": ["serve"]}
DOCUMENT = os.path.join("docs", "config.md")
HEAD = """<!-- SPDX-License-Identifier: Apache-2.0 -->
# Configuration

Each daemon reads one JSON object of flat keys from `/etc/bivouac/<program>.json` or from the file that `--config` names. An unknown key, a
value of another type and a value out of range are errors that name the file and the key; `--check-config` looks for them and starts nothing.
Secrets stand in files of their own, which nobody else may read; a key holds their path. "reload" says whether SIGHUP takes over a new value.

This page is made by `tests/tidy/config_docs.py --write` from what the programs print with `--config-docs`.
"""


def document(folder):
    parts = [HEAD]
    for program in PROGRAMS:
        parts.append(subprocess.run([os.path.join(folder, program), *COMMANDS.get(program, []), "--config-docs"], capture_output=True, text=True, check=True).stdout)
    return "\n".join(parts)


def main(arguments):
    write = arguments[:1] == ["--write"]
    folders = arguments[1:] if write else arguments
    if len(folders) != 1:
        print(__doc__.strip())
        return 1
    missing = [program for program in PROGRAMS if not os.access(os.path.join(folders[0], program), os.X_OK)]
    if missing:
        print(f"{DOCUMENT}: {folders[0]} has no {', '.join(missing)}")
        return 1
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", DOCUMENT)
    text = document(folders[0])
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return 0
    print(f"{DOCUMENT}: not what the programs say: run tests/tidy/config_docs.py --write {folders[0]}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
