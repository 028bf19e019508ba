#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
bench - measures Bivouac on this machine and writes docs/benchmarks.md. `./dev bench` builds, then starts this. Rows that need machines use
the instance that `./dev up` has left running; the others bring up what they need and remove it.
"""
import argparse
import datetime
import json
import os
import resource
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from benchlib import ROOT, Unavailable, machine, report, rows_create, rows_cycles, rows_memory, rows_proxy, rows_stream
from benchlib.result import Section

ROWS = {"create": rows_create, "proxy": rows_proxy, "stream": rows_stream, "memory": rows_memory, "cycles": rows_cycles}


class Bench:
    """What the rows ask: how often, where, and where to say how far it is."""

    def __init__(self, args):
        self.build, self.env_file, self.quick = args.build, args.env, args.quick
        self.cycles = args.cycles or self.count(100, 10)
        self.folder = tempfile.mkdtemp(prefix="biv-bench-")
        self.row = ""

    def count(self, full, quick):
        return quick if self.quick else full

    def progress(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K  … {self.row}: {text}", end="", file=sys.stderr, flush=True)

    def scratch(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)
        return path

    def run(self, name):
        self.row = name
        begin = time.monotonic()
        try:
            section = ROWS[name].measure(self).as_json()
        except Unavailable as why:
            section = {**Section(name, name.capitalize()).as_json(), "unavailable": str(why)}
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)
        mark = "✗" if section["unavailable"] else "✓"
        print(f"  {mark} {name:<10} {time.monotonic() - begin:7.1f} s  {section['unavailable']}", flush=True)
        for target in section["targets"]:
            print(f"      {'reached' if target['reached'] else 'MISSED '}  {target['what']}: {target['got']} ({target['wanted']})", flush=True)
        return section


def accelerator(env_file):
    """As the host reports it."""
    from benchlib.instance import DevInstance
    from bivdev import fleet

    try:
        host = fleet.host_status(DevInstance(env_file).inst)
        return host["accelerator"] if host else "an unknown accelerator"
    except Unavailable:
        return "no accelerator: no instance was running"


def parse():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--rows", default=",".join(ROWS), help="comma-separated, of: " + ", ".join(ROWS))
    args.add_argument("--quick", action="store_true", help="few measurements each: shows that everything works")
    args.add_argument("--cycles", type=int, help="sandboxes of the leak row (default 100)")
    args.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    args.add_argument("--env", default=os.path.join(ROOT, ".dev", "env"))
    args.add_argument("--json", default=os.path.join(ROOT, "build", "bench.json"), help="where the numbers are kept")
    args.add_argument("--out", default=os.path.join(ROOT, "docs", "benchmarks.md"))
    args.add_argument("--render", action="store_true", help="only write the document again from --json")
    parsed = args.parse_args()
    parsed.rows = [r for r in parsed.rows.split(",") if r]
    unknown = [r for r in parsed.rows if r not in ROWS]
    if unknown:
        args.error(f"unknown row {unknown[0]}; there are {', '.join(ROWS)}")
    return parsed


def raise_descriptor_limit():
    """The children inherit it: thousands of idle sockets need as many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def measure(args):
    begin = time.monotonic()
    bench = Bench(args)
    raise_descriptor_limit()
    results = {"when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "quick": args.quick,
               "machine": machine.describe(ROOT, "/var/tmp"), "accelerator": accelerator(args.env), "sections": []}
    try:
        results["sections"] = [bench.run(name) for name in args.rows]
    finally:
        shutil.rmtree(bench.folder, ignore_errors=True)
    results["took"] = f"{(time.monotonic() - begin) / 60:.1f} minutes"
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w") as file:
        json.dump(results, file, indent=1)
    return results


def main():
    args = parse()
    if args.render:
        with open(args.json) as file:
            results = json.load(file)
    else:
        results = measure(args)
    with open(args.out, "w") as file:
        file.write(report.render(results))
    print(f"written: {args.out}")
    return 1 if any(s["unavailable"] for s in results["sections"]) else 0


if __name__ == "__main__":
    sys.exit(main())
