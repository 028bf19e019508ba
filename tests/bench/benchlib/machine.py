# SPDX-License-Identifier: Apache-2.0
"""machine - what this was measured on."""
import os
import platform
import re
import shutil
import subprocess


def first_line(*argv):
    if not shutil.which(argv[0]):
        return "not installed"
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    return ((said.stdout or said.stderr).strip().splitlines() or [""])[0]


def cpu_model():
    with open("/proc/cpuinfo") as file:
        match = re.search(r"model name\s*:\s*(.*)", file.read())
    return match.group(1) if match else platform.machine()


def memory_gb():
    with open("/proc/meminfo") as file:
        return int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1)) / 1e6


def filesystem(path):
    said = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def debian():
    with open("/etc/debian_version") as file:
        return file.read().strip()


def commit(root):
    said = subprocess.run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return said.stdout.strip() + (" with local changes" if changed.stdout.strip() else "")


def describe(root, state_dir):
    return [
        ("CPU", f"{cpu_model()}, {os.cpu_count()} logical"),
        ("Memory", f"{memory_gb():.1f} GB"),
        ("Kernel", platform.release()),
        ("Debian", debian()),
        ("QEMU", first_line("qemu-system-x86_64", "--version")),
        ("Redis", first_line("redis-server", "--version")),
        ("nginx", first_line("nginx", "-v")),
        ("File system of the data", filesystem(state_dir)),
        ("Load before", " ".join(f"{x:.2f}" for x in os.getloadavg())),
        ("Commit", commit(root)),
    ]
