# SPDX-License-Identifier: Apache-2.0
"""
supervise - starts the processes of a JSON list, restarts those that die, keeps their logs small.

    python3 -m bivdev.supervise SERVICES.json [--lifeline FD]

SERVICES.json: {"run_dir", "log_cap_bytes", "after_stop": [argv..], "services": [{
    "name", "argv", "env"?, "cwd"?, "log", "needs"?: [names],
    "ready"?: {"tcp": port} | {"unix": path} | {"http": url} | {"exec": argv}, "ready_timeout_s"?,
    "autostart"?: bool, "stop_signal"?, "stop_timeout_s"?}]}
A service runs in a session of its own, and only its main process is ever signalled: what bivouac-vmhost has started (the machines)
outlives a restart. Output goes straight to the log file, so a dead supervisor does not take its services along; the next one ends
those it finds in run_dir/supervisor.json and starts anew. Commands come over run_dir/supervisor.sock, one JSON object a line.
With --lifeline the supervisor ends all when the other end of that pipe closes.
"""
import argparse
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.client import HTTPException

from bivdev import proc

BACKOFF_S = (0.1, 0.5, 1, 2, 5, 10)
READY_STEPS = 2  # a service that had been ready is back within a second, however often it dies
HEALTHY_S = 30  # after this long a service starts its back-off anew
PR_SET_CHILD_SUBREAPER = 36


def log(message, **fields):
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "program": "supervise", "msg": message, **fields}
    print(json.dumps(line), file=sys.stderr, flush=True)


def is_ready(check, timeout_s=1.0):
    """Whether the service answers; no check means at once."""
    try:
        if "tcp" in check:
            socket.create_connection(("127.0.0.1", check["tcp"]), timeout_s).close()
        elif "unix" in check:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(timeout_s)
                probe.connect(check["unix"])
        elif "http" in check:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(check["http"], timeout=timeout_s) as answer:
                return answer.status == 200
        elif "exec" in check:
            done = subprocess.run(check["exec"], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s + 4)
            return done.returncode == 0
        return True
    except (OSError, HTTPException, subprocess.TimeoutExpired):
        return False


class Service:
    """One process and the thread that looks after it."""

    def __init__(self, spec, supervisor):
        self.spec = spec
        self.name = spec["name"]
        self.supervisor = supervisor
        self.wanted = False
        self.state = "stopped"  # waiting, starting, running, backoff, stopping, stopped
        self.child = None
        self.who = None
        self.starts = 0
        self.failures = 0
        self.failed_starts = 0  # in a row, without having been ready
        self.last_exit = None
        self.ready_ms = None
        self.since = time.time()
        self.changed = threading.Condition()
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    @property
    def stop_signal(self):
        return self.spec.get("stop_signal", "TERM")

    def status(self):
        return {
            "name": self.name, "state": self.state, "wanted": self.wanted, "pid": self.who["pid"] if self.who else None,
            "starts": self.starts, "failures": self.failures, "failed_starts": self.failed_starts, "last_exit": self.last_exit,
            "ready_ms": self.ready_ms, "since": self.since, "log": self.spec["log"],
        }

    def want(self, wanted):
        with self.changed:
            self.wanted = wanted
            self.failures = self.failed_starts = 0
            self.changed.notify_all()

    def wait_state(self, states, timeout_s):
        end = time.monotonic() + timeout_s
        with self.changed:
            while self.state not in states:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self.changed.wait(min(left, 0.5))
        return True

    def stop(self):
        """Asks the process to end and kills it after its time; returns when it is gone."""
        self.want(False)
        who = self.who
        if who:
            proc.end(who, self.spec.get("stop_timeout_s", 10), getattr(signal, "SIG" + self.stop_signal))
        return self.wait_state({"stopped"}, 15)

    def _set(self, state):
        with self.changed:
            if state == self.state:
                return
            self.state = state
            self.since = time.time()
            self.changed.notify_all()
        log("service " + state, service=self.name, pid=self.who["pid"] if self.who else None)
        self.supervisor.save()

    def _pause(self, seconds):
        """Waits, but not once the wish changes."""
        wanted = self.wanted
        with self.changed:
            self.changed.wait_for(lambda: self.wanted != wanted, seconds)

    def _run(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.wanted)
            if not self._needs_met():
                self._set("waiting")
                self._pause(0.05)
                if not self.wanted:
                    self._set("stopped")
                continue
            started = time.monotonic()
            self._start_and_wait()
            if not self.wanted:
                self._set("stopped")
                continue
            if time.monotonic() - started > HEALTHY_S:
                self.failures = 0
            was_ready = self.ready_ms is not None
            delay = BACKOFF_S[min(self.failures, READY_STEPS if was_ready else len(BACKOFF_S) - 1)]
            self.failures = max(self.failures, 1) if was_ready else self.failures + 1
            self.failed_starts = 0 if was_ready else self.failed_starts + 1
            self._set("backoff")
            self._pause(delay)
            if not self.wanted:
                self._set("stopped")

    def _needs_met(self):
        if self.starts:
            return True  # a restart does not wait: the daemons reconnect by themselves
        return all(self.supervisor.services[need].state == "running" for need in self.spec.get("needs", []))

    def _start_and_wait(self):
        spec = self.spec
        self.starts += 1
        self.ready_ms = None
        begin = time.monotonic()
        try:
            with open(spec["log"], "ab", 0) as out:
                self.child = subprocess.Popen(
                    spec["argv"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=spec.get("cwd", "/"),
                    env={**os.environ, **spec.get("env", {})}, start_new_session=True, close_fds=True)
        except OSError as error:
            log("cannot start service", service=self.name, error=str(error))
            self.last_exit = str(error)
            return
        self.who = proc.ident(self.child.pid)
        self._set("starting")
        if self._await_ready(begin):
            self.ready_ms = round((time.monotonic() - begin) * 1000)
            self._set("running")
        if not self.wanted:
            proc.end(self.who)  # stop() may have looked before there was a process
        code = self.child.wait()
        self.last_exit = code
        self.who = None
        log("service exited", service=self.name, code=code)

    def _await_ready(self, begin):
        check = self.spec.get("ready")
        limit = begin + self.spec.get("ready_timeout_s", 60)
        while check and not is_ready(check):
            if self.child.poll() is not None or not self.wanted:
                return False
            if time.monotonic() > limit:
                log("service is not ready in time, restarting it", service=self.name)
                proc.end(self.who, 5)
                return False
            time.sleep(0.03)
        return self.child.poll() is None


class Supervisor:
    def __init__(self, path):
        self.path = path
        self.services = {}
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.load()
        self.run_dir = self.conf["run_dir"]
        self.state_file = os.path.join(self.run_dir, "supervisor.json")
        self.socket_file = os.path.join(self.run_dir, "supervisor.sock")

    def save(self):
        with self.lock:
            state = {"supervisor": proc.ident(os.getpid()),
                     "services": {s.name: {**s.who, "stop_signal": s.stop_signal} for s in self.services.values() if s.who}}
            with open(self.state_file + ".new", "w") as out:
                json.dump(state, out)
            os.replace(self.state_file + ".new", self.state_file)

    def end_leftovers(self):
        """Services of a supervisor that was killed: end them, so that ports and files are free."""
        try:
            with open(self.state_file) as file:
                old = json.load(file)
        except (OSError, ValueError):
            return
        for name, who in old.get("services", {}).items():
            if proc.alive(who):
                log("ending a service of an earlier supervisor", service=name, pid=who["pid"])
                proc.end(who, 10, getattr(signal, "SIG" + who["stop_signal"]))

    def listen(self):
        if os.path.exists(self.socket_file):
            os.unlink(self.socket_file)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o077)
        server.bind(self.socket_file)
        os.umask(old)
        server.listen(8)
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _accept(self, server):
        while True:
            peer, _ = server.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer, peer.makefile("rw") as file:
            for line in file:
                try:
                    answer = self.command(json.loads(line))
                except (ValueError, KeyError, AttributeError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                file.write(json.dumps(answer) + "\n")
                file.flush()

    def command(self, request):
        verb = request["cmd"]
        if verb == "status":
            return {"pid": os.getpid(), "services": [s.status() for s in self.services.values()]}
        if verb == "reload":
            return {"changed": self.reload()}
        if verb == "shutdown":
            self.ending.set()
            return {"ok": True}
        service = self.services[request["name"]]
        if verb == "stop":
            return {"ok": service.stop()}
        if verb == "start":
            service.want(True)
            return {"ok": True}
        if verb == "restart":
            service.stop()
            service.want(True)
            return {"ok": True}
        if verb == "signal":
            return {"ok": proc.send(service.who, getattr(signal, request["signal"]))}
        raise KeyError(f"unknown command '{verb}'")

    def load(self):
        with open(self.path) as file:
            self.conf = json.load(file)
        for spec in self.conf["services"]:
            if spec["name"] not in self.services:
                self.services[spec["name"]] = Service(spec, self)

    def reload(self):
        """Takes over the list anew; a service whose entry differs uses it from its next start on. Names of those that differ."""
        before = {name: service.spec for name, service in self.services.items()}
        self.load()
        changed = []
        for spec in self.conf["services"]:
            if spec != before.get(spec["name"]):
                self.services[spec["name"]].spec = spec
                changed.append(spec["name"])
        return changed

    def trim_logs(self):
        """Services append, so a file can be cut while they write; one older part is kept."""
        for service in self.services.values():
            path = service.spec["log"]
            try:
                if os.path.getsize(path) > self.conf.get("log_cap_bytes", 16 << 20):
                    shutil.copyfile(path, path + ".1")
                    os.truncate(path, 0)
            except OSError:
                pass

    def reap_orphans(self):
        """Grandchildren that lost their parent come to us; those of our own services are waited for by their threads."""
        ours = {s.child.pid for s in self.services.values() if s.child}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, os.WNOHANG)

    def run(self):
        self.end_leftovers()
        self.listen()
        self.save()
        for service in self.services.values():
            service.want(service.spec.get("autostart", True))
        while not self.ending.wait(1):
            self.trim_logs()
            self.reap_orphans()
        for name in reversed(list(self.services)):
            if not self.services[name].stop():
                log("service does not end", service=name)
        if self.conf.get("after_stop"):
            subprocess.run(self.conf["after_stop"], stdin=subprocess.DEVNULL)
        for path in (self.socket_file, self.state_file):
            if os.path.exists(path):
                os.unlink(path)
        log("all services have ended")


def take_lock(run_dir):
    fd = os.open(os.path.join(run_dir, "supervisor.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another supervisor runs in {run_dir}")
    return fd


def watch_lifeline(fd, supervisor):
    while os.read(fd, 4096):
        pass
    log("lifeline closed")
    supervisor.ending.set()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("services")
    args.add_argument("--lifeline", type=int)
    args = args.parse_args()
    supervisor = Supervisor(args.services)
    lock = take_lock(supervisor.run_dir)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: supervisor.ending.set())
    if args.lifeline is not None:
        os.set_inheritable(args.lifeline, False)
        threading.Thread(target=watch_lifeline, args=(args.lifeline, supervisor), daemon=True).start()
    supervisor.run()
    os.close(lock)


if __name__ == "__main__":
    main()
