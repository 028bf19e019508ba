# SPDX-License-Identifier: Apache-2.0
"""rows_stream - process output from agent through gateway and Redis to one client, and what Redis takes by itself."""
from benchlib import load
from benchlib.instance import DevInstance
from benchlib.measure import Sample, cpu_s
from benchlib.result import Section
from benchlib.rig import Rig

FRAMES_PER_S_MIN = 50_000
CHECKED = ("Every frame is checked by the load generator (bivouac-load, on libwebsockets): cursors odd and contiguous, base64 whole, "
           "each line there once.")


KEEP = {"retention_bytes": 512 << 20, "sandbox_retention_bytes": 1 << 30}
KEPT = ("Rows with a native agent keep 512 MiB a process instead of 8: they print faster than the load generator reads, and a client that falls "
        "behind the retention is told so and cut.")


def measure(bench):
    section = Section("stream", "Process output", "One process, one client, Redis with an append-only file (everysec). " + CHECKED, KEPT)
    rows = section.table("", "frames", "output", "gateway CPU", "Redis CPU")
    section.attempt("bare frames", frame_rates, bench, section, rows)
    section.attempt("native agent", native_rates, bench, rows)
    section.attempt("sandbox", guest_rates, bench, section, rows)
    section.attempt("Redis alone", redis_rates, bench, section)
    return section


class Series:
    """Runs of one kind of stream."""

    def __init__(self):
        self.frames, self.megabytes = Sample("/s"), Sample("MB/s")
        self.gateway, self.redis = Sample("%"), Sample("%")

    def run(self, gateway_pids, redis_pids, stream):
        before = cpu_s(gateway_pids), cpu_s(redis_pids)
        got = stream()
        seconds = got["seconds"] or 1e-9
        self.frames.add(got["frames_per_s"])
        self.megabytes.add(got["mb_per_s"])
        self.gateway.add((cpu_s(gateway_pids) - before[0]) / seconds * 100)
        self.redis.add((cpu_s(redis_pids) - before[1]) / seconds * 100)

    def row(self, label):
        return [label, self.frames, self.megabytes, self.gateway, self.redis]


def rig_run(rig, series, command, *args, extra=()):
    url = f"ws://127.0.0.1:{rig.port}/runtime/v1/process"
    token_file = rig.path("client_token")
    with open(token_file, "w") as file:
        file.write(rig.token)
    redis_pids = [child.pid for name, child in rig.children if name == "redis"]
    series.run(rig.gateway_pids, redis_pids,
               lambda: load.process_stream(rig.build, url, rig.host_header, token_file, command, *args, extra=extra, user="root", cwd="/"))


def frame_rates(bench, section, rows):
    """An agent that only sends frames: gateway, Redis and client."""
    with Rig(bench.build, frame_agent=True, conf=KEEP) as rig:
        for size, count in ((64, bench.count(300_000, 50_000)), (65536, bench.count(8000, 1500))):
            series = Series()
            for number in range(bench.count(5, 2)):
                bench.progress(f"{size}-byte frames {number}")
                rig_run(rig, series, "frames", str(count), str(size))
            rows.append(series.row(f"frames of {size} bytes, made by a bare agent link"))
            if size == 64:
                got = series.frames.median
                section.target("64-byte frames from one process to one client", f"at least {FRAMES_PER_S_MIN}/s", f"{got:,.0f}/s",
                               got >= FRAMES_PER_S_MIN)


def native_rates(bench, rows):
    with Rig(bench.build, conf=KEEP) as rig:
        kinds = ((f"`head -c {bench.count(200, 30)}M /dev/zero`, agent native", ("head", "-c", f"{bench.count(200, 30)}M", "/dev/zero"), ()),
                 ("numbered lines, agent native", ("seq", "0", str(bench.count(3_000_000, 300_000))), ("--check-lines",)))
        for label, command, extra in kinds:
            series = Series()
            for number in range(bench.count(5, 2)):
                bench.progress(f"{label} {number}")
                rig_run(rig, series, *command, extra=extra)
            rows.append(series.row(label))


def guest_rates(bench, section, rows):
    dev = DevInstance(bench.env_file)
    made = dev.create()
    try:
        url, host, token = dev.ws_parts(made)
        token_file = bench.scratch("guest_token", token)
        for label, command, extra in (("`head -c 50M /dev/zero` in a sandbox", ("head", "-c", "50M", "/dev/zero"), ()),
                                      ("numbered lines in a sandbox", ("seq", "0", "300000"), ("--check-lines",))):
            series = Series()
            for number in range(bench.count(5, 2)):
                bench.progress(f"{label} {number}")
                series.run(dev.pids("gateway"), dev.pids("redis"),
                           lambda: load.process_stream(bench.build, url, host, token_file, *command, extra=extra))
            rows.append(series.row(label))
        bench.progress("echo")
        got = load.bivouac_load(bench.build, "ws", "--mode", "echo", "--url", url, "--host-header", host, "--token-file", token_file, "--start",
                                '{"type":"start","cmd":"cat","args":[],"stdin":true}', "--rounds", bench.count(500, 100), "--bytes", 64)
        table = section.table("64 bytes to stdin of `cat` in a sandbox and back", "time")
        table.append(["p50", f"{got['round']['p50_ms']:.2f} ms"])
        table.append(["p99", f"{got['round']['p99_ms']:.2f} ms"])
    finally:
        dev.destroy_quietly(made)


def redis_rates(bench, section):
    rows = section.table("Redis alone: XADD of 64 bytes, one connection (redis-benchmark)", "rate")
    with Rig(bench.build, frame_agent=True) as rig:
        for pipeline in (1, 16, 64):
            sample = Sample("/s")
            for number in range(bench.count(5, 2)):
                bench.progress(f"XADD, {pipeline} in flight {number}")
                sample.add(load.redis_xadd(rig.redis.port, rig.redis.password, 64, pipeline, bench.count(20_000 * min(pipeline, 10), 10_000)))
            rows.append([f"{pipeline} in flight", sample])
