# SPDX-License-Identifier: Apache-2.0
"""proc - processes named by pid and start time, so that a reused pid is never taken for the old one."""
import os
import signal
import time


def start_time(pid):
    """Clock ticks since boot at which `pid` started, or None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b") ", 1)[1].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def ident(pid):
    return {"pid": pid, "start": start_time(pid)}


def alive(who):
    return who is not None and who.get("start") is not None and start_time(who["pid"]) == who["start"]


def send(who, signum):
    if not alive(who):
        return False
    try:
        os.kill(who["pid"], signum)
        return True
    except ProcessLookupError:
        return False


def wait_gone(who, timeout_s):
    end = time.monotonic() + timeout_s
    while alive(who):
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def end(who, timeout_s=10, first=signal.SIGTERM):
    """Asks, waits, then kills. True when the process is gone."""
    if not send(who, first) or wait_gone(who, timeout_s):
        return True
    send(who, signal.SIGKILL)
    return wait_gone(who, 5)


def each():
    """(pid, argv list, uid) of every process that can be read."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")[:-1]
            uid = os.stat(f"/proc/{name}").st_uid
        except OSError:
            continue
        yield int(name), [os.fsdecode(a) for a in argv], uid
