# SPDX-License-Identifier: Apache-2.0
"""
tidy - the rules of the tree that a program can check: licence line, sizes, include arrows, doors to libraries, banned calls, descriptors
that would leak into children, words that do not belong here. Prints `file:line: rule` and ends with 1 when there is one.
`tidy: allow <rule>` in a comment on the line excuses it.
"""
import os
import re
import subprocess
import sys

FILE_LINES_MAX = 800
FUNCTION_LINES_LOOK = 120  # beyond twice the norm somebody has to split it; flat tables are exempt
SPDX = "SPDX-License-Identifier: Apache-2.0"

# folder -> folders it may include (itself always)
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
    "control": ["common"],
    "dataplane/gateway": ["common"],
    "dataplane/vmhost": ["common"],
    "agent": ["common/base", "common/json", "common/loop", "common/net", "common/http", "common/wire", "common/metrics"],
}
# header -> folders whose files may include it
DOORS = {
    r"json-c/": ["common/json"],
    r"event2/": ["common/loop"],
    r"openssl/": ["common/net", "common/jwt", "common/base"],
    r"libpq": ["control/db"],
    r"hiredis/": ["dataplane/gateway/redis"],
    r"jwt\.h": ["common/jwt"],
}
BANNED = {
    "unsafe": r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca|tmpnam|mktemp|rand|srand)\s*\(",
    "blocking": r"\b(PQexec|PQconnectdb|PQcancel|getaddrinfo|gethostbyname|sleep|system|popen)\s*\(",
}
BANNED_IN = {"blocking": ("common", "control", "dataplane"), "unsafe": ("common", "control", "dataplane", "agent")}
AGENT_NSS = r"\b(getpw\w+|getgr\w+|initgroups|getaddrinfo|gethostbyname|dlopen)\s*\("
CLOEXEC = [
    (r"\bopen(at)?\s*\([^;]*\bO_(RDONLY|WRONLY|RDWR|PATH)\b", "O_CLOEXEC"),
    (r"\bsocket(pair)?\s*\([^;]*\bSOCK_", "SOCK_CLOEXEC"),
    (r"\b(pipe|accept|dup|epoll_create|eventfd|signalfd|inotify_init)\s*\(", None),
    (r"\bfopen\s*\([^;]*\"[rwa]\+?b?\"", None),
]
UNTIDY = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.{0,3}#\d)")


class Tidy:
    def __init__(self, root):
        self.root = root
        self.found = 0

    def say(self, path, line, rule):
        self.found += 1
        print(f"{path}:{line}: {rule}")

    def run(self):
        listed = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True, check=True).stdout.split("\0")
        for path in filter(None, listed):
            if path.endswith((".c", ".h", ".py", ".sh", ".sql", ".cmake", "CMakeLists.txt")) and os.path.exists(os.path.join(self.root, path)):
                with open(os.path.join(self.root, path), errors="replace") as file:
                    self.check(path, file.read().splitlines())
        return self.found == 0

    def check(self, path, lines):
        if not any(SPDX in line for line in lines[:2]):
            self.say(path, 1, "licence: the SPDX line comes first")
        if len(lines) > FILE_LINES_MAX:
            self.say(path, len(lines), f"size: {len(lines)} lines; is there a second noun in it?")
        for number, line in enumerate(lines, 1):
            if UNTIDY.search(line) and not path.endswith("tidy.py"):
                self.say(path, number, "words: a note without an issue number")
        if path.endswith((".c", ".h")):
            code = strip_comments(lines)
            self.check_includes(path, lines)
            if not path.startswith("tests/"):
                self.check_calls(path, lines, code)
            self.check_functions(path, code)

    def check_includes(self, path, lines):
        folder = next((f for f in sorted(ARROWS, key=len, reverse=True) if path.startswith(f + "/")), None)
        for number, line in enumerate(lines, 1):
            ours = re.match(r'#include "([^"]+)"', line)
            theirs = re.match(r"#include <([^>]+)>", line)
            if ours and folder:
                target = ours.group(1)
                if not target.startswith(folder + "/") and not any(target.startswith(a + "/") for a in ARROWS[folder]):
                    self.say(path, number, f"arrows: {folder} may not include {target}")
            if theirs and not path.startswith("tests/"):
                for header, doors in DOORS.items():
                    if re.match(header, theirs.group(1)) and not any(path.startswith(d) for d in doors):
                        self.say(path, number, f"doors: <{theirs.group(1)}> is included in {' or '.join(doors)} only")

    def check_calls(self, path, lines, code):
        for number, line in enumerate(code, 1):
            if "tidy: allow" in lines[number - 1]:
                continue
            for rule, pattern in BANNED.items():
                hit = re.search(pattern, line)
                if hit and path.startswith(BANNED_IN[rule]):
                    self.say(path, number, f"banned ({rule}): {hit.group(1)}")
            if path.startswith("agent/") and (hit := re.search(AGENT_NSS, line)):
                self.say(path, number, f"banned (agent is static): {hit.group(1)}")
            statement = " ".join(code[number - 1:number + 3]).split(";")[0]
            for pattern, flag in CLOEXEC:
                if re.search(pattern, line) and (flag is None or flag not in statement):
                    self.say(path, number, f"descriptor without close-on-exec{': ' + flag if flag else ''}")

    def check_functions(self, path, code):
        """Functions begin with a line `{` in column 0 (Linux braces) and end with `}` in column 0."""
        begin = None
        for number, line in enumerate(code, 1):
            if line == "{":
                begin = number
            elif line.startswith("}") and begin:
                length = number - begin
                if length > FUNCTION_LINES_LOOK:
                    self.say(path, begin, f"size: a function of {length} lines")
                begin = None


def strip_comments(lines):
    """Code without comments and string contents, one entry a line."""
    text = "\n".join(lines)
    keep = lambda match: "\n" * match.group(0).count("\n") if match.group(0).startswith("/") else match.group(0)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', keep, text, flags=re.S)
    return text.split("\n")


if __name__ == "__main__":
    sys.exit(0 if Tidy(sys.argv[1]).run() else 1)
