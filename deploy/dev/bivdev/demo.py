# SPDX-License-Identifier: Apache-2.0
"""demo - the main job in front of the user: a sandbox, a file, Python over the process WebSocket, with the time of each part."""
import time
from urllib.parse import quote

from bivdev import console
from bivdev.api import Api
from bivdev.process_stream import ProcessStream

PATH = "/workspace/hello.py"
PROGRAM = '''\
import os, platform, sys, time
begin = time.perf_counter()
primes = [n for n in range(2, 5000) if all(n % d for d in range(2, int(n ** 0.5) + 1))]
print(f"hello from {platform.node()}: Python {platform.python_version()} on Linux {platform.release()}, {os.cpu_count()} CPUs, user {os.environ.get('USER')}")
print(f"{len(primes)} primes below 5000 in {(time.perf_counter() - begin) * 1000:.0f} ms, the last one is {primes[-1]}")
'''
MARK = {"made_by": "dev-up"}
TIMEOUT_S = 3600


class Demo:
    def __init__(self, api_url, api_key):
        self.api = Api(api_url, api_key)
        self.timings = []
        self.output = ""
        self.sandbox = self.session = None

    def _timed(self, label, work):
        begin = time.monotonic()
        result = work()
        self.timings.append((label, (time.monotonic() - begin) * 1000))
        return result

    def remove_earlier(self):
        """Sandboxes of earlier runs; the machine is small."""
        listed = self.api.call("GET", f"/sandboxes?limit=100&query[metadata][made_by]={MARK['made_by']}")
        for sandbox in listed["sandboxes"]:
            self.api.call("DELETE", f"/sandboxes/{sandbox['id']}")

    def run(self):
        answer = self._timed("create the sandbox (POST /v1/sandboxes to 201)", lambda: self.api.call(
            "POST", "/sandboxes", {"template": "base", "timeout": TIMEOUT_S, "metadata": MARK, "name": "dev-up"}))
        self.sandbox, self.session = answer["sandbox"], answer["session"]
        url, token = self.session["data_plane_url"], self.session["access_token"]
        data_plane = Api(url, token)
        self._timed(f"write {PATH}", lambda: data_plane.call("PUT", f"/runtime/v1/files?path={quote(PATH)}", raw=PROGRAM.encode()))
        data_plane.close()

        begin = time.monotonic()
        process = ProcessStream(url, token, timeout_s=60)
        process.start("python3", "-u", PATH, timeout_ms=60_000)
        started = time.monotonic()
        code = process.finish()
        first = next((t for f, t in zip(process.frames, process.arrived_s) if f["type"] == "stdout"), None)
        ended = process.arrived_s[-1]
        self.output = process.output().decode(errors="replace")
        self.timings.append(("process WebSocket: open to `started`", (started - begin) * 1000))
        if first is not None:
            self.timings.append(("first line of Python's output", (first - begin) * 1000))
        self.timings.append(("exit", (ended - begin) * 1000))
        if code != 0:
            raise RuntimeError(f"python3 ended with {code}: {self.output}")
        return self

    def show(self):
        for line in self.output.splitlines():
            print(f"  {console.cyan('│')} {line}")
        print()
        for label, milliseconds in self.timings:
            print(f"  {label:<50} {milliseconds:8.1f} ms")
