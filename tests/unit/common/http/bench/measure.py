#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the HTTP engine as a reverse proxy beside nginx as a reverse proxy, both before the same nginx origin, on loopback.

    measure.py PATH/http_bench_proxy [--rounds N] [--seconds S]

Prints CPU (user + system of the proxy's process, from /proc) for each request, requests per second, and the resident memory while
1 GB goes each way. Needs nginx, wrk and curl.
"""
import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def wait_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


class Nginx:
    """One nginx of our own: a master and one worker, configuration and files in its own folder."""

    def __init__(self, folder, name, server):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        conf = os.path.join(self.folder, "nginx.conf")
        with open(conf, "w") as f:
            f.write(f"""
daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 2000; }}
http {{
  access_log off; keepalive_requests 100000000; sendfile on; client_max_body_size 0;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  {server}
}}""")
        os.chmod(self.folder, 0o755)
        self.process = subprocess.Popen(["nginx", "-c", conf, "-p", self.folder], stderr=subprocess.DEVNULL)

    def worker(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return int(f.read().split()[0])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wrk(port, path, seconds, connections):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"],
                         check=True, capture_output=True, text=True).stdout
    bad = re.search(r"Non-2xx.*|Socket errors.*", out)
    if bad:
        print("   ", bad.group(0))
    return int(re.search(r"(\d+) requests in", out).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def run_wrk(name, port, pid, path, seconds, connections):
    before = cpu_seconds(pid)
    count, rate = wrk(port, path, seconds, connections)
    time.sleep(0.2)
    return (cpu_seconds(pid) - before) / count * 1e6, rate


def compare(title, sides, path, seconds, connections, rounds):
    """The sides take turns, so that a noisy moment hits both. nginx has its default buffers unless the title says otherwise."""
    results = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (port, pid) in sides.items():
            results[name].append(run_wrk(name, port, pid, path, seconds, connections))
    medians = {}
    for name, rows in results.items():
        us = [r[0] for r in rows]
        medians[name] = statistics.median(us)
        print(f"{title:36} {name:6} {medians[name]:10.1f} us CPU a request (min {min(us):.1f}, max {max(us):.1f})"
              f"  {statistics.median(r[1] for r in rows):9.1f} requests/s")
    print(f"{title:36} ratio  {medians['ours'] / medians['nginx']:10.2f}")


def watch_memory(pid, command):
    """Largest resident size while the command runs."""
    peak, stop = [rss_kib(pid)], threading.Event()

    def watch():
        while not stop.is_set():
            peak[0] = max(peak[0], rss_kib(pid))
            time.sleep(0.02)

    before, cpu = rss_kib(pid), cpu_seconds(pid)
    thread = threading.Thread(target=watch)
    thread.start()
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    stop.set()
    thread.join()
    return before, peak[0], cpu_seconds(pid) - cpu, seconds


def main():
    p = argparse.ArgumentParser()
    p.add_argument("proxy")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=4)
    a = p.parse_args()
    folder = tempfile.mkdtemp(prefix="http-bench-", dir=os.environ.get("TMPDIR", "/tmp"))
    os.chmod(folder, 0o755)
    ports = [free_port() for _ in range(3)]
    running = []
    try:
        os.makedirs(f"{folder}/www")
        for name, size in (("small", 612), ("big", 64 << 20)):
            with open(f"{folder}/www/{name}", "wb") as f:
                f.write(os.urandom(1 << 20)[:size] * max(1, size >> 20))
        running.append(Nginx(folder, "origin", f"server {{ listen 127.0.0.1:{ports[0]} backlog=1024; root {folder}/www; }}"))
        proxy = Nginx(folder, "proxy", f"""upstream o {{ server 127.0.0.1:{ports[0]}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{ports[1]} backlog=1024; location / {{
    proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_max_temp_file_size 0;
  }} }}
  server {{ listen 127.0.0.1:{ports[2]} backlog=1024; location / {{
    proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_max_temp_file_size 0;
    proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 256k;
  }} }}""")
        running.append(proxy)
        ours = subprocess.Popen([a.proxy, "proxy", "0", f"127.0.0.1:{ports[0]}"], stdout=subprocess.PIPE, text=True)
        running.append(ours)
        sink = subprocess.Popen([a.proxy, "sink", "0"], stdout=subprocess.PIPE, text=True)
        running.append(sink)
        relay = None
        ours_port, sink_port = int(ours.stdout.readline()), int(sink.stdout.readline())
        for port in (*ports, ours_port, sink_port):
            wait_port(port)
        relay = subprocess.Popen([a.proxy, "proxy", "0", f"127.0.0.1:{sink_port}"], stdout=subprocess.PIPE, text=True)
        running.append(relay)
        relay_port = int(relay.stdout.readline())
        sides = {"nginx": (ports[1], proxy.worker()), "ours": (ours_port, ours.pid)}
        compare("GET 612 B, 32 connections", sides, "/small", a.seconds, 32, a.rounds)
        compare("GET 612 B, 1 connection", sides, "/small", a.seconds, 1, a.rounds)
        compare("GET 64 MiB, 2 connections", sides, "/big", a.seconds, 2, a.rounds)
        tuned = {**sides, "nginx": (ports[2], proxy.worker())}
        compare("GET 64 MiB, nginx with 64k buffers", tuned, "/big", a.seconds, 2, a.rounds)
        print(f"idle after it: ours {rss_kib(ours.pid)} KiB resident")
        gib = 1 << 30
        for title, command in (
                ("1 GiB down", ["curl", "-sS", "-o", "/dev/null", f"http://127.0.0.1:{relay_port}/{gib}"]),
                ("1 GiB up", ["sh", "-c", f"head -c {gib} /dev/zero | curl -sS -T - -o /dev/null http://127.0.0.1:{relay_port}/up"])):
            before, peak, cpu, seconds = watch_memory(relay.pid, command)
            print(f"{title:36} ours   {before} KiB before, peak {peak} KiB, {cpu:.2f} s CPU, {1024 / seconds:.0f} MiB/s")
    finally:
        for one in reversed(running):
            one.stop() if isinstance(one, Nginx) else (one.terminate(), one.wait())
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
