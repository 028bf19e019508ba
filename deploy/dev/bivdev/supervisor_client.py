# SPDX-License-Identifier: Apache-2.0
"""supervisor_client - talks to a running supervise.py."""
import json
import os
import socket
import time


class SupervisorClient:
    def __init__(self, run_dir):
        self.path = os.path.join(run_dir, "supervisor.sock")

    def call(self, **request):
        """The answer, or None when no supervisor listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(60)
            try:
                peer.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            with peer.makefile("rw") as file:
                file.write(json.dumps(request) + "\n")
                file.flush()
                line = file.readline()
        answer = json.loads(line) if line else None
        if answer and "error" in answer:
            raise RuntimeError(f"supervisor: {answer['error']}")
        return answer

    def running(self):
        return self.call(cmd="status") is not None

    def services(self):
        answer = self.call(cmd="status")
        return {s["name"]: s for s in answer["services"]} if answer else {}

    def wait_running(self, names, timeout_s, on_wait=None):
        """None when all run, else the status of the first one that does not (after it ended three times before it was ready, or the time is up)."""
        end = time.monotonic() + timeout_s
        while True:
            have = self.services()
            missing = [have.get(name, {"name": name, "state": "unknown", "failed_starts": 0}) for name in names
                       if have.get(name, {}).get("state") != "running"]
            if not missing:
                return None
            broken = [s for s in missing if s["failed_starts"] >= 3]
            if broken or time.monotonic() > end:
                return (broken or missing)[0]
            if on_wait:
                on_wait(missing)
            time.sleep(0.05)
