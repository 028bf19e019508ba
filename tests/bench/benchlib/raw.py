# SPDX-License-Identifier: Apache-2.0
"""
raw - QEMU restores of the template snapshot that sandboxes are made from, by hand: the floor under create. The command line, the memory file,
the state and the disks are read off a machine that vmhost has started, so nothing can differ but who starts it.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

from benchlib import Unavailable

STORE_FILES = {"ram": r"/store/snaps/[0-9a-f]+/memory", "template": r"/store/snaps/[0-9a-f]+/disk", "rootfs": r"/store/blobs/[0-9a-f]+"}
HOST_MAC, GUEST_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
HOST_ADDR, GUEST_ADDR = "169.254.77.1", "169.254.77.2"


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(argv)}: {done.stderr.strip()}")


class RawRestore:
    def __init__(self, build, qemu_pid):
        self.program = os.path.join(build, "bin", "bench-raw-restore")
        self.name = f"bivbench{os.getpid()}"
        self.folder = tempfile.mkdtemp(prefix="biv-bench-raw-", dir="/var/tmp")
        self.process = None
        try:
            self._collect(build, qemu_pid)
            self._make_network()
            self._start()
        except BaseException:
            self.close()
            raise

    def _store_files(self, pid):
        """The files of vmhost's store that this QEMU has open (dataplane/vmhost/priv/store.h)."""
        found = {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            for name, pattern in STORE_FILES.items():
                if re.search(pattern + "$", path):
                    found[name] = path
        missing = STORE_FILES.keys() - found.keys()
        if missing:
            raise Unavailable(f"QEMU has no {' and no '.join(sorted(missing))} of the store open")
        return found

    def _collect(self, build, pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read()
        files = self._store_files(pid)
        state = os.path.join(os.path.dirname(files["ram"]), "state")
        if not os.path.exists(state):
            raise Unavailable(f"no device state beside {files['ram']}")
        overlay = os.path.join(self.folder, "empty.qcow2")
        with open(os.path.join(self.folder, "argv"), "wb") as file:
            file.write(argv)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", files["template"], "-F", "qcow2", overlay)
        shims = glob.glob(os.path.join(build, "**", "bivouac-ram-shim.so"), recursive=True)
        if not shims:
            raise Unavailable(f"no bivouac-ram-shim.so in {build}")
        self.args = ["--argv", os.path.join(self.folder, "argv"), "--program", os.readlink(f"/proc/{pid}/exe"), "--shim", shims[0],
                     "--ram", files["ram"], "--state", state, "--rootfs", files["rootfs"],
                     "--template", files["template"], "--overlay", overlay, "--work", self.folder, "--tap", "tap0"]

    def _make_network(self):
        run("ip", "netns", "add", self.name)
        inside = ("ip", "-n", self.name)
        run(*inside, "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr")
        run(*inside, "link", "set", "dev", "tap0", "address", HOST_MAC, "up")
        run(*inside, "addr", "add", f"{HOST_ADDR}/30", "dev", "tap0")
        run(*inside, "neigh", "replace", GUEST_ADDR, "lladdr", GUEST_MAC, "dev", "tap0", "nud", "permanent")

    def _start(self):
        self.process = subprocess.Popen(["ip", "netns", "exec", self.name, self.program, *self.args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def once(self):
        """Milliseconds since the begin by step: disk, exec, greeting, loaded, running, answer."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable(f"raw restore: {self.process.stderr.read().strip()}")
        return json.loads(line)

    def close(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
