# SPDX-License-Identifier: Apache-2.0
"""rows_cycles - the same again and again: does anything grow?"""
from benchlib.instance import DevInstance
from benchlib.measure import Stopwatch, memory_kb
from benchlib.result import Section
from bivdev.api import ApiError

GROWTH_KB_MAX = 2048


def anonymous(dev):
    return {label: memory_kb(pid)["Anonymous"] for label, pid in dev.daemon_processes()}


def cycle(dev):
    made = dev.create()
    try:
        with dev.stream(made) as stream:
            stream.start("true")
            while stream.exit is None:
                stream.next()
    finally:
        dev.destroy(made)


def refused(dev):
    """A create that is refused after parsing, a list, a get of nothing."""
    for method, path, body in (("POST", "/sandboxes", {"template": "no-such-template"}), ("GET", "/sandboxes?limit=10", None),
                               ("GET", "/sandboxes/999999999", None), ("POST", "/sandboxes", {"timeout": "soon"})):
        try:
            dev.api.call(method, path, body)
        except ApiError as error:
            if error.status >= 500:
                raise


def measure(bench):
    dev = DevInstance(bench.env_file)
    section = Section("cycles", "Leaks", "Anonymous memory of the daemons before and after, once warm.")
    rows = section.table("", *[f"{label}" for label, _ in dev.daemon_processes()])
    for label, count, warm, act in ((f"{bench.cycles} sandboxes created, used, destroyed", bench.cycles, 5, cycle),
                                    (f"{bench.count(1000, 100)} rounds of refused creates, lists and gets", bench.count(1000, 100), 50, refused)):
        for _ in range(warm):
            act(dev)
        dev.wait_quiet()
        before, watch = anonymous(dev), Stopwatch()
        for number in range(count):
            if number % 10 == 0:
                bench.progress(f"{label}: {number}")
            act(dev)
        took_s = watch.ms / 1000
        dev.wait_quiet()
        after = anonymous(dev)
        grown = {name: after.get(name, 0) - kb for name, kb in before.items()}
        rows.append([f"{label} ({took_s:.0f} s)", *[f"{kb:+d} KB" for kb in grown.values()]])
        section.target(f"growth over {label}", f"under {GROWTH_KB_MAX} KB a daemon", f"{max(grown.values())} KB", max(grown.values()) < GROWTH_KB_MAX)
    return section
