# SPDX-License-Identifier: Apache-2.0
"""load - runs the load generators: bivouac-load, wrk, curl, redis-benchmark."""
import csv
import json
import os
import re
import shutil
import subprocess

from benchlib import Unavailable

UNITS_MS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}


def bivouac_load(build, *args, check=True, timeout_s=300):
    """The summary as a dict. check: anything wrong with what came is an error."""
    program = os.path.join(build, "bin", "bivouac-load")
    if not os.path.exists(program):
        raise Unavailable(f"{program} is not built (package libwebsockets-dev)")
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False, timeout=timeout_s)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines or lines[-1].get("event") != "summary":
        raise Unavailable(f"bivouac-load: {done.stderr.strip()[:500]}")
    if check and done.returncode:
        raise Unavailable(f"bivouac-load found a fault: {json.dumps(lines[-1])[:700]}")
    return lines[-1]


def process_stream(build, url, host, token_file, command, *args, extra=(), **start):
    frame = json.dumps({"type": "start", "cmd": command, "args": list(args), **start})
    return bivouac_load(build, "ws", "--mode", "process", "--url", url, "--host-header", host, "--token-file", token_file, "--start", frame, *extra)


def wrk(url, headers, seconds, connections):
    """{"requests", "requests_per_s", "p50_ms", "p99_ms"}; any answer but 2xx is an error."""
    if not shutil.which("wrk"):
        raise Unavailable("wrk is not installed")
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        argv += ["-H", f"{name}: {value}"]
    said = subprocess.run([*argv, url], capture_output=True, text=True, check=False).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise Unavailable(f"wrk {url}: {said.strip()[-300:]}")
    count = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if not count or not rate:
        raise Unavailable(f"wrk {url}: {said.strip()[-300:]}")
    found = {"requests": int(count.group(1)), "requests_per_s": float(rate.group(1))}
    for name, percent in (("p50_ms", "50%"), ("p99_ms", "99%")):
        match = re.search(rf"{percent}\s+([\d.]+)(us|ms|s|m)\b", said)
        found[name] = float(match.group(1)) * UNITS_MS[match.group(2)] if match else 0.0
    return found


def curl(url, headers, upload=None, count=1):
    """Seconds of each transfer, on one connection."""
    argv = ["curl", "-sS", "--fail", "-w", "%{time_total} %{http_code}\\n"]
    for name, value in headers.items():
        argv += ["-H", f"{name}: {value}"]
    for _ in range(count):
        argv += ["-o", "/dev/null"] + (["-T", upload] if upload else []) + [url]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"curl {url}: {done.stderr.strip()[:300]}")
    return [float(line.split()[0]) for line in done.stdout.splitlines()]


def redis_xadd(port, password, payload_bytes, pipeline, requests):
    """Entries a second that Redis takes from one connection, by its own benchmark program."""
    argv = ["redis-benchmark", "-p", str(port), "-a", password, "-n", str(requests), "-c", "1", "-P", str(pipeline), "--csv", "XADD",
            "bench:xadd", "MAXLEN", "~", "100000", "*", "t", "stdout", "d", "x" * payload_bytes]
    if not shutil.which("redis-benchmark"):
        raise Unavailable("redis-benchmark is not installed")
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    rows = [row for row in csv.reader(said.splitlines()) if len(row) > 1 and row[1] != "rps"]
    if not rows:
        raise Unavailable(f"redis-benchmark: {said[-300:]}")
    return float(rows[-1][1])
