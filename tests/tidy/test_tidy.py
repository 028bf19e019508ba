#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test_tidy - each rule of tidy.py on a small tree that breaks it, and on one that does not; the tables against the documents."""
import contextlib
import io
import os
import re
import sys
import tempfile
import textwrap
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hazards
import tidy

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def findings(files):
    """What tidy says about a tree of these files: {path: text}."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            good = tidy.Tidy(root).run()
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("tidy:")]
    assert good == all(": note: " in line for line in lines)
    return lines


def source(code, path="common/base/x.c"):
    folder = os.path.dirname(path)
    build = {f"{folder}/CMakeLists.txt": f"# SPDX-License-Identifier: Apache-2.0\nbiv_library(x SOURCES {os.path.basename(path)})\n"}
    return findings({path: HEAD + textwrap.dedent(code), **build})


class Rules(unittest.TestCase):
    def one(self, lines, words):
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(words, lines[0])

    def test_clean(self):
        self.assertEqual(source('#include <fcntl.h>\n#include "common/base/attr.h"\nint f(void);\n'), [])

    def test_licence(self):
        self.one(findings({"common/base/x.h": "#pragma once\n"}), "x.h:1: licence")
        self.one(findings({"deploy/x.sh": "#!/bin/sh\necho\n"}), "x.sh:2: licence")
        self.assertEqual(findings({"deploy/x.sh": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"}), [])

    def test_words(self):
        note = "TO" + "DO"
        self.one(source(f"/* {note}: later */\n"), "x.c:2: words")
        self.assertEqual(source(f"/* {note} #12: later */\n"), [])

    def test_arrows(self):
        self.one(source('#include "common/json/json.h"\n'), "arrows: common/base may not include common/json/json.h")
        self.one(source('#include "dataplane/vmhost/x.h"\n', "dataplane/gateway/x.c"), "arrows")
        self.one(source('#include "control/x.h"\n', "dataplane/gateway/x.c"), "arrows")
        self.one(source('#include "common/config/config.h"\n', "agent/x.c"), "arrows")
        self.assertEqual(source('#include "control/db/x.h"\n#include "common/jwt/jwt.h"\n', "control/api/x.c"), [])
        self.one(source('#include "x.h"\n'), "include")

    def test_doors(self):
        self.one(source("#include <json-c/json.h>\n"), "doors")
        self.one(source("#include <libpq-fe.h>\n", "control/api/x.c"), "doors")
        self.assertEqual(source("#include <libpq-fe.h>\n", "control/db/x.c"), [])

    def test_banned(self):
        self.one(source('void f(char *d)\n{\n    strcpy(d, "x");\n}\n'), "x.c:4: banned: strcpy()")
        self.one(source("void f(void)\n{\n    if (1)\n        sleep(1);\n}\n"), "banned: sleep()")
        self.one(source("int f(void)\n{\n    return PQexec(c, q);\n}\n", "control/db/x.c"), "banned: PQexec()")
        self.one(source("void f(void)\n{\n    (void) getpwnam(n);\n}\n", "agent/x.c"), "banned: getpwnam()")
        self.assertEqual(source('/* strcpy() is bad */\nconst char *s = "strcpy(a, b)";\nvoid f(void)\n{\n    x.sleep(1);\n'
                                "    my_strcpy(a);\n    p->system(2);\n}\nint getaddrinfo(const char *n);\n"), [])
        self.assertEqual(source("void f(void)\n{\n    sleep(1); /* a child of its own; tidy: allow banned */\n}\n"), [])

    def test_cloexec(self):
        for call in ("fd = open(p, O_RDONLY);", "int fd = socket(AF_UNIX, SOCK_STREAM, 0);", "n = pipe(p);", "fd = accept(s, a, l);",
                     'f = fopen(p, "r");', "fd = fcntl(a, F_DUPFD, 3);", "n = recvmsg(s, &m, 0);", "fd = dup(1);",
                     "return eventfd(0, EFD_NONBLOCK);", "fd = openat(d, n, O_RDONLY |\n    O_NOFOLLOW);"):
            self.one(source(f"int f(void)\n{{\n    {call}\n}}\n"), "cloexec")
        for call in ("fd = open(p, O_RDONLY | O_CLOEXEC);", 'f = fopen(p, "re");', "n = pipe2(p, O_CLOEXEC);", "x->open(p);",
                     "fd = openat(d, n, O_RDONLY |\n    O_CLOEXEC);", "fd = fcntl(a, F_DUPFD_CLOEXEC, 3);", "stream_open(p);",
                     'err_set(e, 1, "open (it)");', "fd = open(p, O_RDONLY); /* stdin of a child; tidy: allow cloexec */"):
            self.assertEqual(source(f"int f(void)\n{{\n    {call}\n}}\n"), [], call)

    def test_alone(self):
        lines = findings({"common/base/x.h": HEAD + "#pragma once\nstruct a f(uint32_t x);\n"})
        self.one(lines, "x.h:1: alone")
        self.assertEqual(findings({"common/base/x.h": HEAD + "#pragma once\n#include <stdint.h>\nuint32_t f(uint32_t x);\n"}), [])

    def test_dead(self):
        build = "# SPDX-License-Identifier: Apache-2.0\nbiv_library(x SOURCES a.c sub/b.c)\n"
        files = {"control/a.c": HEAD, "control/sub/b.c": HEAD, "control/c.c": HEAD, "control/CMakeLists.txt": build}
        self.one(findings(files), "control/c.c:1: dead")

    def test_size_is_a_note(self):
        self.one(source("void f(void)\n{\n" + "    g();\n" * 101 + "}\n"), "x.c:3: note: a function of 101 lines")
        self.assertEqual(source("void f(void)\n{\n" + "    g();\n" * 100 + "}\n"), [])
        self.assertEqual(source("int t[] =\n{\n" + "    1,\n" * 200 + "};\n"), [])
        self.one(source("int a;\n" * 900), "note: 901 lines")


class Documents(unittest.TestCase):
    def test_arrows_are_those_of_the_architecture(self):
        with open(os.path.join(ROOT, "docs", "architecture.md"), encoding="utf-8") as file:
            section = file.read().split("\n## 2.")[1].split("\n## ")[0]
        rows = {row[0]: row[2] for row in re.findall(r"^\| ([a-z/]+) \| (.*?) \| (.*?) \|$", section, re.M)}
        for folder, allowed in tidy.ARROWS.items():
            ours = re.sub(r"\(.*?\)", "", rows[folder].split(";")[0])
            if "common/*" in ours:
                self.assertEqual(allowed, tidy.COMMON, folder)
                continue
            named = {"common/" + word for word in re.findall(r"[a-z]+", ours.replace("common/", "")) if word not in ("libc", "static")}
            self.assertEqual(set(allowed), named, folder)


class Hazards(unittest.TestCase):
    TEXT = "# Hazards\n\nIntro.\n\n## A\n\n1. First.\n2. Second.\n14b. Odd.\n\n## B\n\n15. Last.\n"

    def test_generate(self):
        tests = {"1": [("tests/a.py", "test_hz01_x"), ("tests/a.py", "test_hz01_y"), ("tests/b.c", "hz1_z")], "14b": [("tests/a.py", "hz14b_q")]}
        text = hazards.generate(self.TEXT, tests)
        self.assertIn("1. First.\n   Tests:\n   - tests/a.py: `test_hz01_x`, `test_hz01_y`\n   - tests/b.c: `hz1_z`\n2. Second.\n"
                      "   No test yet.\n14b. Odd.\n   Tests:\n   - tests/a.py: `hz14b_q`\n\n## B\n", text)
        self.assertEqual(hazards.generate(text, tests), text)
        self.assertEqual(hazards.generate(hazards.generate(text, {}), tests), text)

    def test_verify(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "docs"))
            os.makedirs(os.path.join(root, "tests", "unit"))
            with open(os.path.join(root, "tests", "unit", "test_a.c"), "w", encoding="utf-8") as file:
                file.write("void test_hz02_b(void);\nvoid test_hz99_odd(void);\n")
            with open(os.path.join(root, hazards.DOCUMENT), "w", encoding="utf-8") as file:
                file.write(self.TEXT)
            wrong = hazards.verify(root)
            self.assertEqual(len(wrong), 2)
            self.assertIn("test_hz99_odd", wrong[0])
            self.assertIn("out of date", wrong[1])


if __name__ == "__main__":
    unittest.main()
