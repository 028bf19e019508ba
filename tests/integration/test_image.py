# SPDX-License-Identifier: Apache-2.0
"""The guest image boots on its own: modules load, the root mounts, the promised programs are there. An /init of the test stands in for the agent."""
import json
import os
import re
import shutil
import subprocess

import pytest

from support import ROOT
from support.cluster import IMAGES

BUILD_IMAGE = os.path.join(ROOT, "deploy", "image", "build-image")
PROGRAMS = ("bash", "python3", "python", "pip", "node", "npm", "git", "curl", "ss", "pgrep", "sudo", "ip", "ps")
SCRIPT = r"""
set -u
id -u user; sudo -u user sudo -n id -u; stat -c 'dir %n %u:%g %a' /workspace /app /home/user
for program in @PROGRAMS@; do command -v $program >/dev/null && echo have $program; done
python3 -c 'import sys, ssl, sqlite3, json, venv; print("python", sys.version_info[0])'
python --version; node -e 'console.log("node " + 6 * 7)'; git --version; ls /etc/ssl/certs/ca-certificates.crt
echo "machine-id [$(cat /etc/machine-id)]"; ls /etc/ssh/ssh_host_* 2>/dev/null; ls /usr/share/man /var/lib/apt/lists 2>/dev/null | head -3
LANG=C.UTF-8 locale charmap; ls -1 /sys/block /sys/class/net; cat /sys/class/misc/hw_random/rng_current; ls -d /sys/class/scsi_host/host*
cat /sys/class/block/vda/size; grep -c . /etc/apt/sources.list
""".replace("@PROGRAMS@", " ".join(PROGRAMS))


@pytest.fixture(scope="module")
def manifest():
    path = os.path.join(IMAGES, "base", "manifest.json")
    assert os.path.exists(path), f"no guest image in {IMAGES}; ./dev test integration builds it"
    with open(path) as file:
        return json.load(file)


@pytest.fixture(scope="module")
def initramfs(tmp_path_factory):
    """Packed by build-image itself, with the test's /init."""
    work = tmp_path_factory.mktemp("image")
    init = work / "init"
    subprocess.run(["gcc", "-O1", "-Wall", "-static", "-DBOOT_COMMAND=" + json.dumps(SCRIPT), "-o", str(init),
                    os.path.join(ROOT, "tests", "support", "boot_init.c")], check=True)
    shutil.copytree(os.path.join(IMAGES, "base", ".build", "modules"), work / "out" / "base" / ".build" / "modules")
    subprocess.run([BUILD_IMAGE, "initramfs", "--agent", str(init), "--out", str(work / "out")], check=True, capture_output=True)
    return str(work / "out" / "base" / "initramfs.img")


@pytest.fixture(scope="module")
def console(manifest, initramfs, tmp_path_factory):
    base = os.path.join(IMAGES, "base")
    disk = str(tmp_path_factory.mktemp("disk") / "overlay.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", os.path.join(base, manifest["rootfs"]), disk], check=True)
    argv = ["qemu-system-x86_64", "-M", "pc-i440fx-7.2", "-accel", "tcg,tb-size=64", "-smp", "2", "-m", str(manifest["memory_mb"]),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", os.path.join(base, manifest["kernel"]),
            "-initrd", initramfs, "-append", manifest["cmdline"], "-drive", f"if=none,id=d0,file={disk},format=qcow2,discard=unmap",
            "-device", "virtio-blk-pci,drive=d0", "-device", "virtio-scsi-pci", "-device", "virtio-rng-pci",
            "-netdev", "user,id=n0,restrict=on", "-device", "virtio-net-pci,netdev=n0,romfile="]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=240)
    text = done.stdout.decode(errors="replace").replace("\r", "")
    assert "boot_init: exit" in text, f"the guest did not get there:\n{text}\n{done.stderr.decode()}"
    return text


def test_manifest_names_what_is_there(manifest):
    assert manifest["slug"] == "base" and manifest["architecture"] == "x86_64"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[0-9a-f]{10}", manifest["version"])
    for name, digest in manifest["sha256"].items():
        done = subprocess.run(["sha256sum", os.path.join(IMAGES, "base", name)], capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == digest, name


def test_modules_load_in_order(console):
    loaded = re.findall(r"loaded (\w+)\.ko", console)
    assert loaded.index("virtio_ring") < loaded.index("virtio") < loaded.index("virtio_pci") < loaded.index("virtio_blk")
    assert loaded.index("scsi_mod") < loaded.index("sd_mod") and "virtio_scsi" in loaded
    assert loaded.index("failover") < loaded.index("net_failover") < loaded.index("virtio_net")


def test_devices_work(console):
    assert "\nvda\n" in console and "\neth0\n" in console
    assert "virtio_rng.0" in console and "/sys/class/scsi_host/host0" in console


def test_programs_are_there(console):
    have = re.findall(r"^have (\S+)$", console, re.M)
    assert set(PROGRAMS) - set(have) == set()
    for line in ("python 3", "Python 3.", "node 42", "git version 2."):
        assert line in console, line


def test_user_has_sudo_and_owns_the_work_folders(console):
    assert "\n1000\n" in console, "uid of user"
    assert "\n0\n" in console, "sudo without a password"
    for path in ("/workspace", "/app", "/home/user"):
        assert re.search(rf"^dir {path} 1000:1000 755$", console, re.M), path


def test_nothing_personal_and_nothing_to_throw_away(console):
    assert "machine-id []" in console
    assert "ssh_host_" not in console
    assert "UTF-8" in console


def test_a_dynamic_agent_is_refused(tmp_path):
    done = subprocess.run([BUILD_IMAGE, "initramfs", "--agent", "/bin/ls", "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "kernel stage first" in done.stderr or "not statically linked" in done.stderr
