# SPDX-License-Identifier: Apache-2.0
"""rows_create - a sandbox from the call to the first byte of its first command, beside the same snapshot restored by hand; and its end."""
from benchlib import Unavailable
from benchlib.instance import DevInstance
from benchlib.measure import Sample, Stopwatch
from benchlib.raw import RawRestore
from benchlib.result import Section

OVERHEAD_MS_MAX = 40
# (label, members of the host's timings, steps of the raw restore). When QEMU's monitor answers while the state is being loaded, and how much
# of that counts as start, is chance: start and load are one row.
STEPS = (("slot taken, overlay copied", ("slot",), ("disk",)), ("QEMU started, device state loaded", ("qemu", "state"), ("greeting", "loaded")),
         ("vCPUs running", ("run",), ("running",)), ("agent: init accepted / first answer", ("init",), ("answer",)))
RAW_ORDER = ("disk", "greeting", "loaded", "running", "answer")


class Steps:
    def __init__(self):
        self.samples = {}

    def add(self, name, ms):
        self.samples.setdefault(name, Sample("ms")).add(ms)

    def get(self, name):
        return self.samples.get(name, "")


def new_machine(dev, made, before):
    machines = [pid for pid in dev.machines() if pid not in before]
    if len(machines) != 1:
        raise Unavailable(f"expected one new QEMU for sandbox {made['sandbox']['id']}, found {len(machines)}")
    return machines[0]


def open_raw(build, dev):
    """A raw restorer made from a machine of this instance; the machine goes away again."""
    before = set(dev.machines())
    made = dev.create()
    try:
        return RawRestore(build, new_machine(dev, made, before))
    finally:
        dev.destroy_quietly(made)
        dev.wait_quiet(len(before))


def first_byte(dev, made, steps, since_call):
    """`echo hi` over a process WebSocket, frame by frame."""
    watch = Stopwatch()
    with dev.stream(made) as stream:
        stream.start("echo", "hi", wait=False)
        while stream.exit is None:
            frame = stream.next()
            if frame["type"] in ("started", "stdout"):
                steps.add(frame["type"], watch.ms)
                if frame["type"] == "stdout":
                    steps.add("create_to_byte", since_call.ms)
        steps.add("exit", watch.ms)


def once(dev, steps):
    watch = Stopwatch()
    made = dev.create()
    created_ms = watch.ms
    try:
        steps.add("created", created_ms)
        first_byte(dev, made, steps, watch)
        timings = dev.host_vm(made).get("timings_us", {})
        for label, members, _ in STEPS:
            steps.add(f"ours {label}", sum(timings[name] for name in members) / 1000)
        steps.add("host", timings["total"] / 1000)
        steps.add("control", created_ms - timings["total"] / 1000)
        watch = Stopwatch()
        dev.destroy(made)
        steps.add("destroyed", watch.ms)
    except BaseException:
        dev.destroy_quietly(made)
        raise


def raw_durations(steps, times):
    last, took = 0, {}
    for name in RAW_ORDER:
        took[name], last = times[name] - last, times[name]
    for label, _, names in STEPS:
        steps.add(f"raw {label}", sum(took[name] for name in names))
    steps.add("raw_total", times["answer"])


def measure(bench):
    dev = DevInstance(bench.env_file)
    section = Section("create", "Create, first byte, destroy",
                      "One client, one sandbox at a time. Our creates and raw restores of the same snapshot take turns, so that both see the "
                      "same machine. The raw restore is the same QEMU command line with the same files, started by a C program without daemon, "
                      "cell, cgroup and journal, in a namespace made before. It ends with the first byte of the agent's answer to a "
                      "GET; ours ends with 201, after the agent has set clock, entropy, identity, token and environment.")
    steps = Steps()
    with open_raw(bench.build, dev) as raw:
        for number in range(bench.count(25, 6) + 1):
            bench.progress(f"create {number}")
            times = raw.once()
            dev.wait_quiet()
            run = Steps() if number == 0 else steps  # the first warms up
            raw_durations(run, times)
            once(dev, run)
            dev.wait_quiet()
    write_tables(section, steps)
    return section


def write_tables(section, steps):
    rows = section.table("from the call", "time")
    rows.append(["POST /sandboxes -> 201", steps.get("created")])
    rows.append(["POST /sandboxes -> first byte of `echo`", steps.get("create_to_byte")])
    rows.append(["raw QEMU restore -> agent's first answer", steps.get("raw_total")])
    rows.append(["DELETE -> 204", steps.get("destroyed")])
    rows = section.table("step of create", "ours", "raw restore")
    rows.append(["control: key, quota, row, placement, mTLS, session", steps.get("control"), ""])
    for label, _, _ in STEPS:
        rows.append([label, steps.get(f"ours {label}"), steps.get(f"raw {label}")])
    rows.append(["all on the host", steps.get("host"), steps.get("raw_total")])
    rows = section.table("step of `echo hi`, from opening the WebSocket", "time")
    for name, label in (("started", "`started` frame"), ("stdout", "first byte of output"), ("exit", "`exit` frame")):
        rows.append([label, steps.get(name)])
    over = steps.get("created").median - steps.get("raw_total").median
    section.target("ours on top of the raw restore, p50, call to 201", f"at most {OVERHEAD_MS_MAX} ms", f"{over:.1f} ms", over <= OVERHEAD_MS_MAX)
