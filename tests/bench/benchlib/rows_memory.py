# SPDX-License-Identifier: Apache-2.0
"""rows_memory - what stays resident: daemons that idle, sockets that wait, sandboxes that do nothing."""
import json
import os
import subprocess
import time

from benchlib import Unavailable
from benchlib.instance import DevInstance
from benchlib.measure import Sample, memory_kb
from benchlib.result import Section
from benchlib.rig import Rig

RSS_MB_MAX = 20


def measure(bench):
    section = Section("memory", "Memory",
                      "From smaps_rollup. Pss counts a page shared by n processes as 1/n; Anonymous is what belongs to the process alone and to "
                      "no file. Pages of a template's memory file that its machines have not written are shared among them.")
    section.attempt("idle daemons", daemons, bench, section)
    section.attempt("idle sockets", sockets, bench, section)
    section.attempt("idle sandboxes", sandboxes, bench, section)
    return section


def mb(kb):
    return f"{kb / 1024:.1f} MB"


def daemons(bench, section):
    dev = DevInstance(bench.env_file)
    rows = section.table("idle daemon", "Rss", "Pss", "Anonymous")
    for label, pid in dev.daemon_processes():
        kb = memory_kb(pid)
        rows.append([label, mb(kb["Rss"]), mb(kb["Pss"]), mb(kb["Anonymous"])])
        section.target(f"RSS of {label}, idle", f"under {RSS_MB_MAX} MB", mb(kb["Rss"]), kb["Rss"] / 1024 < RSS_MB_MAX)


def sockets(bench, section):
    """Watchers of one quiet process. The kernel's own memory for sockets is not in it."""
    count = bench.count(2000, 200)
    with Rig(bench.build) as rig:
        token = rig.path("client_token")
        with open(token, "w") as file:
            file.write(rig.token)
        before = memory_kb(rig.gateway.pid)
        argv = [os.path.join(bench.build, "bin", "bivouac-load"), "ws", "--mode", "idle", "--url", f"ws://127.0.0.1:{rig.port}/runtime/v1/process",
                "--host-header", rig.host_header, "--token-file", token]
        quiet = subprocess.Popen([*argv, "--conns", "1", "--hold", "3600", "--timeout", "3700", "--start",
                                  json.dumps({"type": "start", "id": "quiet", "cmd": "sleep", "args": ["3600"], "user": "root", "cwd": "/"})], stdout=subprocess.PIPE)
        try:
            wait_open(quiet)
            argv[5] += "/quiet/connect?since=0"
            crowd = subprocess.Popen([*argv, "--conns", str(count), "--hold", "30", "--timeout", "120"], stdout=subprocess.PIPE)
            try:
                bench.progress(f"{count} idle sockets")
                wait_open(crowd)
                time.sleep(2)
                after = memory_kb(rig.gateway.pid)
            finally:
                crowd.kill()
                crowd.wait()
        finally:
            quiet.kill()
            quiet.wait()
    rows = section.table(f"gateway with {count} idle WebSockets", "Rss", "Anonymous", "per socket (Anonymous)")
    rows.append(["before", mb(before["Rss"]), mb(before["Anonymous"]), ""])
    rows.append(["with them", mb(after["Rss"]), mb(after["Anonymous"]), f"{(after['Anonymous'] - before['Anonymous']) / count:.2f} KB"])


def wait_open(load):
    line = load.stdout.readline()
    opened = json.loads(line) if line else {}
    if opened.get("event") != "open" or opened.get("failed"):
        raise Unavailable(f"idle sockets do not open: {line[:300]!r}")


def sandboxes(bench, section):
    """Each further sandbox that idles: its QEMU, and what the daemons grow by."""
    dev = DevInstance(bench.env_file)
    rows = section.table("each further idle sandbox", "memory")
    kinds = {"Anonymous": Sample("MB"), "Private_Dirty": Sample("MB"), "Pss": Sample("MB"), "Rss": Sample("MB")}
    growth = Sample("KB")
    made = []
    try:
        for number in range(bench.count(6, 3)):
            bench.progress(f"sandbox {number}")
            before, daemon_kb = set(dev.machines()), sum(memory_kb(pid)["Anonymous"] for _, pid in dev.daemon_processes())
            made.append(dev.create())
            time.sleep(bench.count(5, 2))
            for pid in set(dev.machines()) - before:
                kb = memory_kb(pid)
                for name, sample in kinds.items():
                    sample.add(kb[name] / 1024)
            growth.add(sum(memory_kb(pid)["Anonymous"] for _, pid in dev.daemon_processes()) - daemon_kb)
    finally:
        for one in made:
            dev.destroy_quietly(one)
    rows.append(["QEMU, Anonymous (private: guest pages it wrote, and QEMU's own)", kinds["Anonymous"]])
    rows.append(["QEMU, Private_Dirty", kinds["Private_Dirty"]])
    rows.append(["QEMU, Pss", kinds["Pss"]])
    rows.append(["QEMU, Rss", kinds["Rss"]])
    rows.append(["control, gateway and vmhost together grow by", growth])
