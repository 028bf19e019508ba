# SPDX-License-Identifier: Apache-2.0
"""agent_machine - a guest with the agent as PID 1 and no host around it: QEMU with user networking, which connects from 169.254.77.1."""
import json
import os
import socket
import subprocess
import time

import requests

from support.agent_link import Link, init_body
from support.cluster import IMAGES


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Machine:
    def __init__(self, folder, memory_mb=768, cpus=2):
        base = os.path.join(IMAGES, "base")
        with open(os.path.join(base, "manifest.json")) as file:
            manifest = json.load(file)
        self.token = os.urandom(32).hex()
        self.port = free_port()
        self.serial = os.path.join(folder, "serial.log")
        self.generation = 0
        disk = os.path.join(folder, "disk.qcow2")
        if not os.path.exists(disk):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", os.path.join(base, manifest["rootfs"]), disk], check=True)
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "pc-i440fx-7.2", "-accel", "tcg,tb-size=64", "-smp", str(cpus), "-m", str(memory_mb),
             "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:" + self.serial,
             "-kernel", os.path.join(base, manifest["kernel"]), "-initrd", os.path.join(base, manifest["initrd"]),
             "-append", f"{manifest['cmdline']} bivouac.boot={self.token}",
             "-drive", f"if=none,id=d0,file={disk},format=qcow2", "-device", "virtio-blk-pci,drive=d0", "-device", "virtio-rng-pci",
             "-netdev", f"user,id=n0,net=169.254.77.0/24,host=169.254.77.1,hostfwd=tcp:127.0.0.1:{self.port}-169.254.77.2:7777",
             "-device", "virtio-net-pci,netdev=n0,romfile="])
        self.session = requests.Session()
        self.session.trust_env = False

    def console(self):
        with open(self.serial, errors="replace") as file:
            return file.read()

    def request(self, method, path, expect=None, token=None, timeout=60, **kwargs):
        headers = {"Authorization": f"Bearer {token or self.token}"}
        answer = self.session.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=timeout, **kwargs)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer

    def wait_ready(self, timeout_s=120):
        end = time.monotonic() + timeout_s
        while True:
            try:
                return self.request("GET", "/agent/v1/health", 200, timeout=3).json()
            except (requests.RequestException, AssertionError):
                assert self.process.poll() is None and time.monotonic() < end, self.console()[-6000:]
                time.sleep(0.1)

    def init(self, **fields):
        """As the host does after a restore; from then on the new token is used."""
        self.generation += 1
        body = {**init_body(os.urandom(32).hex(), generation=self.generation), **fields}
        self.request("POST", "/agent/v1/init", 200, json=body)
        self.token = body["token"]
        return body

    def link(self):
        return Link(self.port, self.token, timeout_s=60)

    def run(self, script, **fields):
        """stdout of a shell script that must succeed."""
        link = self.link()
        try:
            out, err, end = link.run("sh", "-c", script, **fields)
        finally:
            link.close()
        assert end["exit_code"] == 0, (out, err, end)
        return out.decode()

    def wait_off(self, timeout_s=60):
        assert self.process.wait(timeout_s) == 0
        return self.console()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.session.close()
