# SPDX-License-Identifier: Apache-2.0
"""measure - samples with median and spread; CPU and memory of processes as the kernel counts them."""
import os
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Sample:
    """Numbers of one kind. Shown as the median with the 10th and 90th percentile and how many there were."""

    def __init__(self, unit, values=()):
        self.unit = unit
        self.values = list(values)

    def add(self, value):
        self.values.append(value)

    def percentile(self, p):
        """Linear between the neighbours, so that a few values have no steps."""
        ordered = sorted(self.values)
        if not ordered:
            raise ValueError("no values")
        at = p * (len(ordered) - 1)
        low = int(at)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (at - low)

    @property
    def median(self):
        return self.percentile(0.5)

    def as_json(self):
        return {"unit": self.unit, "median": self.median, "p10": self.percentile(0.1), "p90": self.percentile(0.9),
                "p99": self.percentile(0.99), "n": len(self.values)}


class Stopwatch:
    def __init__(self):
        self.begin = time.perf_counter()

    @property
    def ms(self):
        return (time.perf_counter() - self.begin) * 1000


def descendants(pid):
    """The process and all below it."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    queue += [int(p) for p in file.read().split()]
        except OSError:
            pass
    return found


def cpu_s(pids):
    """Seconds of CPU that these processes have used, all threads: the scheduler's nanoseconds, not ticks."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def memory_kb(pid):
    """smaps_rollup of one process as {"Rss": kB, "Pss": .., "Anonymous": .., "Private_Dirty": .., ..}."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        lines = file.read().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines)}


def rss_mb(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1])
        except OSError:
            pass
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


class Peak:
    """The highest resident memory of some processes while it is open (read every 20 ms)."""

    def __init__(self, pids):
        self.pids = pids
        self.mb = rss_mb(pids)
        self.first_mb = self.mb
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.ended.wait(0.02):
            self.mb = max(self.mb, rss_mb(self.pids))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
