#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
tidy - the rules of the tree that a program can check. `tidy.py [ROOT]` prints `file:line: rule: words` and ends with 1 when a rule is
broken; notes (lengths) are printed and break nothing. It looks at the files as they are, committed or not.

    licence   the SPDX line comes first            words    no note for later without an issue number
    arrows    folders include each other one way   doors    each library is included by its own folder only
    include   headers are named with their folder  alone    every header compiles by itself
    banned    unsafe, blocking, NSS-loading calls  cloexec  no descriptor leaks into a child
    dead      every source file is built           hazards  docs/hazards.md lists the tests that are there
    size      long functions and files (a note)

A comment `tidy: allow <rule>` excuses its line; say why beside it.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

import hazards

FILE_LINES = 800
FUNCTION_LINES = 100
SPDX = "SPDX-License-Identifier: Apache-2.0"
NEEDS_LICENCE = (".c", ".h", ".py", ".sh", ".sql", ".cmake", "CMakeLists.txt")

# Who may include whom: the table in docs/architecture.md, section 2. A folder may always include itself.
COMMON = ["common/base", "common/json", "common/loop", "common/net", "common/config", "common/metrics", "common/http", "common/jwt",
          "common/wire"]
ARROWS = {
    "common/base": [],
    "common/json": ["common/base"],
    "common/loop": ["common/base"],
    "common/net": ["common/base", "common/loop"],
    "common/config": ["common/base", "common/json"],
    "common/metrics": ["common/base"],
    "common/http": ["common/base", "common/json", "common/loop", "common/net", "common/metrics"],
    "common/jwt": ["common/base", "common/json"],
    "common/wire": ["common/base", "common/json"],
    "control": COMMON,
    "dataplane/gateway": COMMON,
    "dataplane/vmhost": COMMON,
    "agent": ["common/base", "common/json", "common/loop", "common/net", "common/http", "common/wire", "common/metrics"],
}
# The one door of each library.
DOORS = {
    r"json-c/": ["common/json/"],
    r"event2/|event\.h|ev(http|util|dns)\.h": ["common/loop/"],
    r"openssl/": ["common/net/", "common/jwt/", "control/auth/crypto."],
    r"libpq|postgres": ["control/db/"],
    r"hiredis/": ["dataplane/gateway/redis/"],
    r"jwt\.h": ["common/jwt/"],
}
PRODUCT = ("common/", "control/", "dataplane/", "agent/", "cli/")
UNSAFE = r"gets|strcpy|stpcpy|strcat|sprintf|vsprintf|strtok|ato[ifl]|atoll|alloca|tmpnam|tempnam|mktemp|rand|srand|drand48|random"
BLOCKING = (r"PQexec\w*|PQconnectdb\w*|PQsetdb\w*|PQcancel|PQrequestCancel|PQprepare|getaddrinfo|gethostby\w+|sleep|usleep|nanosleep|"
            r"system|popen")
NSS = r"getpw\w+|getgr(ent|gid|nam|ouplist)\w*|initgroups|getaddrinfo|gethostby\w+|getservby\w+|dlopen"
# (what the rule is about, call, where)
BANNED = [
    ("unsafe", UNSAFE, PRODUCT),
    ("blocks the loop", BLOCKING, PRODUCT),
    ("static glibc would load the guest's libraries", NSS, ("agent/",)),
]
# (call, flag that its statement must have); None: another call takes the flag
CLOEXEC = [
    (r"open(?:at|64)?", r"O_CLOEXEC"), (r"openat2", r"O_CLOEXEC|->flags|how"), (r"memfd_create", r"MFD_CLOEXEC"),
    (r"socket|socketpair|accept4", r"SOCK_CLOEXEC"), (r"pipe2|mkostemps?|dup3", r"O_CLOEXEC"), (r"epoll_create1", r"EPOLL_CLOEXEC"),
    (r"eventfd", r"EFD_CLOEXEC"), (r"signalfd", r"SFD_CLOEXEC"), (r"timerfd_create", r"TFD_CLOEXEC"),
    (r"inotify_init1", r"IN_CLOEXEC"), (r"recvmsg", r"MSG_CMSG_CLOEXEC"), (r"fopen(?:64)?|fdopen", r'"[rwa]b?\+?b?[a-z]*e[a-z]*"'),
    (r"F_DUPFD", None), (r"pipe|accept|dup|epoll_create|inotify_init|mkstemps?", None),
]
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.{0,3}#\d)")
LIBRARIES = ["libpq", "json-c", "libevent_core", "hiredis", "openssl", "libjwt"]
COMPILE = ["-std=gnu17", "-D_GNU_SOURCE", '-DBIVOUAC_VERSION="0"', "-fsyntax-only", "-Wall", "-Wextra", "-Wmissing-prototypes",
           "-Wstrict-prototypes", "-Werror", "-x", "c"]


def code_of(text):
    """The code without its comments; strings stay. Line numbers stay the same."""
    def blank(match):
        return "\n" * match.group(0).count("\n") if match.group(0).startswith("/") else match.group(0)
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', blank, text, flags=re.S)


def strings_blanked(code):
    """The same length, without the words in strings; modes of fopen() stay."""
    def blank(match):
        word = match.group(0)
        return word if re.fullmatch(r'"[rwa][b+e]*"', word) else word[0] + " " * (len(word) - 2) + word[-1]
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, code)


def call(names):
    """A call of one of the names: not a member, a declaration with a type before it, or the end of a longer name."""
    return re.compile(r"(?<![\w.>])(" + names + r")\s*\(")


def statement_at(code, start):
    """From the call to the end of its statement."""
    ends = [end for end in (code.find(";", start), code.find("{", start)) if end >= 0]
    return code[start:min(ends) if ends else len(code)]


class Tidy:
    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.broken = 0
        self.notes = 0
        self.files = self.list_files()
        self.built = self.words_of_builds()

    def list_files(self):
        git = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
        if git.returncode == 0 and git.stdout:
            paths = filter(None, git.stdout.split("\0"))
        else:
            paths = (os.path.relpath(os.path.join(folder, name), self.root)
                     for folder, _, names in os.walk(self.root) for name in names)
        return sorted({path for path in paths if os.path.isfile(os.path.join(self.root, path))})

    def words_of_builds(self):
        """Folder -> the words of its CMakeLists.txt."""
        return {os.path.dirname(path): set(re.findall(r"[\w./${}-]+", self.text(path)))
                for path in self.files if os.path.basename(path) == "CMakeLists.txt"}

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def say(self, path, line, rule, words):
        self.broken += 1
        print(f"{path}:{line}: {rule}: {words}")

    def note(self, path, line, words):
        self.notes += 1
        print(f"{path}:{line}: note: {words}")

    def run(self):
        for path in self.files:
            if path.endswith(NEEDS_LICENCE):
                self.check_text(path, self.text(path).splitlines())
            if path.endswith((".c", ".h")):
                self.check_source(path, self.text(path))
        self.check_headers_alone()
        self.check_hazards()
        print(f"tidy: {len(self.files)} files, {self.broken} broken rules, {self.notes} notes")
        return self.broken == 0

    def check_text(self, path, lines):
        first = 1 if lines and lines[0].startswith("#!") else 0
        if SPDX not in " ".join(lines[first:first + 1]):
            self.say(path, first + 1, "licence", "the SPDX line comes first")
        if len(lines) > FILE_LINES:
            self.note(path, len(lines), f"{len(lines)} lines; is there a second noun in it?")
        for number, line in enumerate(lines, 1):
            if LATER.search(line) and "tests/tidy/" not in path:
                self.say(path, number, "words", "a note for later without an issue number")

    def check_source(self, path, text):
        lines, code = text.splitlines(), code_of(text)
        self.check_includes(path, lines, code)
        self.check_functions(path, code.splitlines())
        if path.startswith(PRODUCT):
            self.check_calls(path, lines, code)
            self.check_built(path)

    def allowed(self, lines, number, rule):
        return number <= len(lines) and re.search(r"tidy: allow \w*\b" + rule, lines[number - 1])

    def check_includes(self, path, lines, code):
        folder = next((f for f in sorted(ARROWS, key=len, reverse=True) if path.startswith(f + "/")), None)
        for number, line in enumerate(code.splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found:
                continue
            ours, header = found.group(1) == '"', found.group(2)
            if ours and "/" not in header and path.startswith(PRODUCT):
                self.say(path, number, "include", f'"{header}" is named without its folder')
            elif ours and folder and not self.allowed(lines, number, "arrows"):
                if not any(header.startswith(f + "/") for f in [folder] + ARROWS[folder]):
                    self.say(path, number, "arrows", f"{folder} may not include {header}")
            elif not ours and path.startswith(PRODUCT) and not self.allowed(lines, number, "doors"):
                self.check_door(path, number, header)

    def check_door(self, path, number, header):
        for library, doors in DOORS.items():
            if re.match(library, header) and not path.startswith(tuple(doors)):
                self.say(path, number, "doors", f"<{header}> is included by {' and '.join(doors)} only")

    def check_calls(self, path, lines, code):
        code = strings_blanked(code)
        for why, names, where in BANNED:
            for hit in call(names).finditer(code) if path.startswith(where) else ():
                number = code.count("\n", 0, hit.start()) + 1
                if not self.allowed(lines, number, "banned") and not self.is_declaration(code, hit.start()):
                    self.say(path, number, "banned", f"{hit.group(1)}() ({why})")
        for names, flag in CLOEXEC:
            pattern = re.compile(r"\bF_DUPFD\b") if names == "F_DUPFD" else call(names)
            for hit in pattern.finditer(code):
                number = code.count("\n", 0, hit.start()) + 1
                if flag and re.search(flag, statement_at(code, hit.start())):
                    continue
                if not self.allowed(lines, number, "cloexec") and not self.is_declaration(code, hit.start()):
                    self.say(path, number, "cloexec", f"{hit.group(0).rstrip('( ')} without close-on-exec")

    @staticmethod
    def is_declaration(code, start):
        """A definition, a declaration or a macro begins its line with a type; a call follows an operator, a bracket or a keyword."""
        before = code[code.rfind("\n", 0, start) + 1:start]
        return bool(re.match(r"(#\s*define\s|(static |extern |inline |PUBLIC |struct )*[a-z_]\w* \**$)", before)) \
            and not before.strip().startswith(("return", "else", "case"))

    def check_built(self, path):
        if not path.endswith(".c"):
            return
        folder = os.path.dirname(path)
        while True:
            words = self.built.get(folder, ())
            relative = os.path.relpath(path, folder or ".")
            if relative in words or any(w.endswith("/" + path) for w in words):
                return
            if not folder:
                break
            folder = os.path.dirname(folder)
        if not any(w.endswith("/" + path) for words in self.built.values() for w in words):
            self.say(path, 1, "dead", "no CMakeLists.txt builds it")

    def check_functions(self, path, code):
        """Functions begin with a line `{` in column 0 and end with a line `}`; tables end with `};` and are exempt."""
        begin = None
        for number, line in enumerate(code, 1):
            if line == "{":
                begin = number
            elif line.startswith("}") and begin:
                if line == "}" and number - begin - 1 > FUNCTION_LINES:
                    self.note(path, begin, f"a function of {number - begin - 1} lines")
                begin = None

    def check_headers_alone(self):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        headers = [path for path in self.files if path.endswith(".h") and path.startswith(PRODUCT)]
        if not compiler:
            print("tidy: no C compiler, headers were not compiled")
            return
        flags = self.library_flags()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for path, words in zip(headers, pool.map(lambda p: self.compile_alone([compiler, *COMPILE, *flags], p), headers)):
                if words:
                    self.say(path, 1, "alone", f"does not compile by itself: {words}")

    @staticmethod
    def library_flags():
        flags = []
        for library in LIBRARIES if shutil.which("pkg-config") else ():
            done = subprocess.run(["pkg-config", "--cflags", library], capture_output=True, text=True, check=False)
            flags += done.stdout.split() if done.returncode == 0 else []
        return flags

    def compile_alone(self, command, path):
        done = subprocess.run([*command, "-I", self.root, "-"], input=f'#include "{path}"\n', capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        return (errors or ["?"])[0] if done.returncode else ""

    def check_hazards(self):
        if os.path.exists(os.path.join(self.root, hazards.DOCUMENT)):
            for words in hazards.verify(self.root):
                self.say(hazards.DOCUMENT, 1, "hazards", words)


if __name__ == "__main__":
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    sys.exit(0 if Tidy(sys.argv[1] if len(sys.argv) > 1 else default).run() else 1)
