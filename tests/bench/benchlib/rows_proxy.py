# SPDX-License-Identifier: Apache-2.0
"""rows_proxy - the gateway as a reverse proxy beside nginx, both in front of the same native agent; and its memory while 1 GB streams."""
import os

from benchlib import load
from benchlib.measure import Peak, Sample, cpu_s
from benchlib.result import Section
from benchlib.rig import Rig

SMALL, LARGE = 1024, 64 << 20
CPU_RATIO_MAX, RSS_MB_MAX = 1.3, 20


class Proxy:
    """One of the two: how to reach it and whose CPU counts."""

    def __init__(self, name, base, headers, pids):
        self.name, self.base, self.headers, self.pids = name, base, headers, pids
        self.samples = {}

    def add(self, name, unit, value):
        self.samples.setdefault(name, Sample(unit)).add(value)

    def url(self, path):
        return f"{self.base}/runtime/v1/files?path={path}&user=root"

    def small(self, seconds, connections):
        before = cpu_s(self.pids)
        got = load.wrk(self.url("small"), self.headers, seconds, connections)
        self.add("rps", "/s", got["requests_per_s"])
        self.add("p50", "ms", got["p50_ms"])
        self.add("p99", "ms", got["p99_ms"])
        self.add("cpu_small", "us", (cpu_s(self.pids) - before) / got["requests"] * 1e6)

    def large(self, name, path, count, upload=None):
        before = cpu_s(self.pids)
        seconds = load.curl(self.url(path), self.headers, upload, count)
        for one in seconds:
            self.add(f"{name}_mb", "MB/s", LARGE / 1e6 / one)
        self.add(f"{name}_cpu", "ms", (cpu_s(self.pids) - before) / count * 1e3)


def make_file(path, size):
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), 0o666)
        block = os.urandom(1 << 20)
        while size > 0:
            file.write(block[:size])
            size -= len(block)


def measure(bench):
    section = Section("proxy", "Gateway beside nginx",
                      "Both proxy to the same agent, running natively on this machine, over kept connections; one process each, nginx with "
                      "`proxy_request_buffering off`. Both log each request; the gateway also checks the session token and routes by Host. They "
                      "take turns. CPU is user and system time of the proxy alone.")
    with Rig(bench.build, with_nginx=True) as rig:
        make_file(rig.path("workspace", "small"), SMALL)
        make_file(rig.path("workspace", "large"), LARGE)
        gateway = Proxy("gateway", f"http://127.0.0.1:{rig.port}", rig.headers, rig.gateway_pids)
        nginx = Proxy("nginx", f"http://127.0.0.1:{rig.nginx_port}", {}, rig.nginx_pids)
        for number in range(bench.count(5, 2)):
            for proxy in (gateway, nginx):
                bench.progress(f"{proxy.name} {number}")
                proxy.small(bench.count(6, 2), 16)
                proxy.large("down", "large", bench.count(8, 3))
                proxy.large("up", "uploaded", bench.count(8, 3), rig.path("workspace", "large"))
        write_tables(section, gateway, nginx)
        stream_1gb(bench, section, rig, gateway)
    return section


def write_tables(section, gateway, nginx):
    rows = section.table("", "gateway", "nginx")
    for key, label in (("rps", "1 KB file, 16 connections: requests"), ("p50", "... p50"), ("p99", "... p99"),
                       ("cpu_small", "... CPU of the proxy per request"), ("down_mb", "64 MB down, one connection"),
                       ("down_cpu", "... CPU of the proxy per file"), ("up_mb", "64 MB up, one connection"),
                       ("up_cpu", "... CPU of the proxy per file")):
        rows.append([label, gateway.samples[key], nginx.samples[key]])
    for key, label in (("cpu_small", "1 KB"), ("down_cpu", "64 MB down"), ("up_cpu", "64 MB up")):
        ratio = gateway.samples[key].median / nginx.samples[key].median
        section.target(f"CPU per proxied request beside nginx, {label}", f"at most {CPU_RATIO_MAX}x", f"{ratio:.2f}x", ratio <= CPU_RATIO_MAX)


def stream_1gb(bench, section, rig, gateway):
    size = bench.count(1000, 100) << 20
    path = rig.path("workspace", "huge")
    make_file(path, size)
    rows = section.table(f"{size >> 20} MB in one request", "gateway's RSS before", "highest RSS", "rate")
    highest = 0
    for label, name, upload in (("down", "huge", None), ("up", "huge.copy", path)):
        bench.progress(f"{size >> 20} MB {label}")
        with Peak(rig.gateway_pids) as peak:
            seconds = load.curl(gateway.url(name), gateway.headers, upload)[0]
        rows.append([label, f"{peak.first_mb:.1f} MB", f"{peak.mb:.1f} MB", f"{size / 1e6 / seconds:.0f} MB/s"])
        highest = max(highest, peak.mb)
    section.target(f"gateway's memory while {size >> 20} MB stream each way", f"under {RSS_MB_MAX} MB", f"{highest:.1f} MB", highest < RSS_MB_MAX)
