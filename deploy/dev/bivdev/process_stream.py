# SPDX-License-Identifier: Apache-2.0
"""process_stream - one process over a WebSocket: start, read frames, come back after a cut with the last cursor."""
import base64
import json
import time

from bivdev.wsocket import Closed, Refused, WebSocket


class ProcessError(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class ProcessStream:
    """
    base: data-plane URL without a path (http://rt.sandbox.domain:port).
    cursor is the last one seen; reconnect() goes on after it. Every frame that came is in `frames`.
    """

    def __init__(self, base, token, connect_to=None, timeout_s=30):
        self.base = base.replace("http", "ws", 1).rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"}
        self.connect_to = connect_to
        self.timeout_s = timeout_s
        self.ws = None
        self.pid = None
        self.os_pid = None
        self.cursor = 0
        self.frames = []
        self.exit = None
        self.arrived_s = []  # monotonic time of each frame

    def _open(self, path):
        self.ws = WebSocket(self.base + path, self.headers, self.timeout_s, self.connect_to)

    def start(self, cmd, *args, cwd=None, user=None, env=None, stdin=False, timeout_ms=None, pty=None, id=None, tag=None, wait=True):
        self._open("/runtime/v1/process")
        self.send({"type": "start", "id": id, "tag": tag, "cmd": cmd, "args": list(args), "cwd": cwd, "user": user, "env": env,
                   "stdin": stdin, "timeout_ms": timeout_ms, "pty": pty})
        if wait:
            self.wait_for("started")
        return self

    def connect(self, pid=None, since=None):
        self.pid = pid or self.pid
        since = self.cursor if since is None else since
        self._open(f"/runtime/v1/process/{self.pid}/connect?since={since}")
        return self

    def send(self, frame):
        self.ws.send(json.dumps(frame))

    def stdin(self, data):
        self.send({"type": "stdin", "data": base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()})

    def close_stdin(self):
        self.send({"type": "close_stdin"})

    def signal(self, name):
        self.send({"type": "signal", "signal": name})

    def resize(self, cols, rows):
        self.send({"type": "resize", "cols": cols, "rows": rows})

    def next(self, timeout_s=None):
        """The next frame, checked: cursors only grow."""
        text = self.ws.recv(timeout_s)
        assert isinstance(text, str), "the server sends text frames only"
        frame = json.loads(text)
        kind = frame["type"]
        if kind == "error":
            raise ProcessError(frame.get("code"), frame.get("message"))
        if kind == "started":
            self.pid, self.os_pid = frame["pid"], frame["os_pid"]
            self.cursor = max(self.cursor, frame["cursor"])
        elif "cursor" in frame:
            assert frame["cursor"] > self.cursor, f"cursor {frame['cursor']} after {self.cursor}"
            self.cursor = frame["cursor"]
        if kind == "exit":
            self.exit = frame
        if kind in ("stdout", "stderr", "pty"):
            frame["bytes"] = base64.b64decode(frame["data"], validate=True)
        self.frames.append(frame)
        self.arrived_s.append(time.monotonic())
        return frame

    def wait_for(self, kind, timeout_s=None):
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while True:
            frame = self.next(max(end - time.monotonic(), 0.001))
            if frame["type"] == kind:
                return frame

    def read_until(self, text, timeout_s=None):
        """Reads until the output so far holds `text`."""
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        wanted = text if isinstance(text, bytes) else text.encode()
        while wanted not in self.output():
            self.next(max(end - time.monotonic(), 0.001))

    def finish(self, timeout_s=None):
        """Reads to the exit frame and the close; returns the exit code."""
        if self.exit is None:
            self.wait_for("exit", timeout_s)
        try:
            while True:
                self.next(5)
        except Closed as closed:
            assert closed.code == 1000, f"closed with {closed.code} after exit"
        return self.exit["exit_code"]

    def finish_with_reconnects(self, timeout_s=60, pause_s=0.2):
        """Like finish(), but comes back after each cut; returns how often."""
        end = time.monotonic() + timeout_s
        reconnects = 0
        while self.exit is None:
            try:
                self.next(max(end - time.monotonic(), 0.001))
                continue
            except (Closed, ConnectionError, ProcessError):
                self.cut()
            while True:
                if time.monotonic() > end:
                    raise TimeoutError(f"no exit after {reconnects} reconnects")
                try:
                    self.connect()
                    reconnects += 1
                    break
                except (OSError, Closed, Refused) as error:
                    if isinstance(error, Refused) and error.status < 500:
                        raise
                    time.sleep(pause_s)
        return reconnects

    def output(self, *kinds):
        kinds = kinds or ("stdout", "stderr", "pty")
        return b"".join(f["bytes"] for f in self.frames if f["type"] in kinds)

    def cut(self):
        if self.ws:
            self.ws.cut()

    def close(self):
        if self.ws:
            self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
