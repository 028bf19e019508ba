# SPDX-License-Identifier: Apache-2.0
"""The agent as PID 1 of a real guest: boot, identity, freezing, priority, secrets, the end. The image is what ./dev test integration has built."""
import json
import os
import subprocess
import time

import pytest

from support.agent_machine import Machine
from support.cluster import IMAGES


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(str(tmp_path_factory.mktemp("machine")))
    try:
        machine.wait_ready()
        machine.init()
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def own_machine(tmp_path):
    machines = []

    def start(**fields):
        machine = Machine(str(tmp_path), **fields)
        machines.append(machine)
        machine.wait_ready()
        return machine

    yield start
    for machine in machines:
        machine.stop()


# ---- boot ----

def test_boot_tells_each_step(machine):
    console = machine.console()
    for step in ("load kernel modules", "enter the root disk", "mount", "set the network up", "make control groups", "agent ready"):
        assert step in console, step
    assert '"level":"error"' not in console and '"level":"warn"' not in console, console


def test_a_debian_system(machine):
    out = machine.run(
        "cat /proc/mounts; stat -c '%n %a' /tmp /dev/shm /run /dev/null; ip -br addr show eth0; ip route; cat /proc/self/cgroup; id; pwd; echo $HOME $LANG;"
        "sudo -n id -u; ulimit -n; nice; cat /proc/self/oom_score_adj")
    for text in ("devpts", "cgroup2", "/tmp 1777", "/dev/shm 1777", "/dev/null 666", "169.254.77.2/30", "default via 169.254.77.1", "0::/user",
                 "uid=1000(user)", "/workspace", "/home/user C.UTF-8"):
        assert text in out, (text, out)
    assert out.splitlines()[-4:] == ["0", "1024", "0", "0"]


def test_orphans_are_reaped(machine):
    out = machine.run("for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.2' &) ; done; sleep 1.5; ps -eo stat= | grep -c ^Z || true")
    assert out.strip() == "0"


# ---- identity ----

def test_hz12_identity(machine):
    body = machine.init(env={"COLOUR": "blue"}, hostname="box-7")
    out = machine.run("hostname; cat /etc/hostname /etc/machine-id; grep 127.0.1.1 /etc/hosts; date +%s; echo $COLOUR; sudo -n true; cat /proc/sys/kernel/random/boot_id")
    lines = out.split()
    assert lines[:3] == ["box-7", "box-7", body["machine_id"]] and lines[3:5] == ["127.0.1.1", "box-7"]
    assert abs(int(lines[5]) - time.time()) < 30 and lines[6] == "blue"


def test_hz11_clock(machine):
    machine.init(time_ns=1_600_000_000 * 10**9)
    assert abs(int(machine.run("date +%s")) - 1_600_000_000) < 30
    machine.init()
    assert abs(int(machine.run("date +%s")) - time.time()) < 30


def test_hz12_frozen_from_quiesce_to_init(machine):
    link = machine.link()
    pid = link.start("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
    link.until(lambda: len(link.frames[pid]) > 5)
    answer = machine.request("POST", "/agent/v1/quiesce", 200, json={"freeze": True}).json()
    assert answer == {"ok": True, "synced": True, "frozen": True}
    link.idle(0.5)
    count = len(link.frames[pid])
    late = link.start_nowait("echo", "late")  # waits, too
    link.idle(1)
    assert len(link.frames[pid]) == count and late not in link.results
    assert machine.request("GET", "/agent/v1/health", 200).json()["frozen"] is True
    machine.request("POST", "/agent/v1/init", 422, json={"token": "x"})
    assert machine.request("GET", "/agent/v1/health", 200).json()["frozen"] is True  # fails closed
    old = machine.token
    machine.init()
    assert machine.request("GET", "/agent/v1/health", token=old).status_code == 401
    assert machine.request("GET", "/agent/v1/health", 200).json()["frozen"] is False
    second = machine.link()  # the first was cut with its token
    second.until(lambda: len(second.frames[pid]) > 5)
    cursors = [c for c, _, _ in second.frames[pid]]
    assert cursors == list(range(cursors[0], cursors[0] + 2 * len(cursors), 2)) and cursors[0] <= link.frames[pid][-1][0] + 2
    second.ok(second.signal(pid, 9))
    second.wait_exit(pid)
    link.close()
    second.close()


# ---- secrets and rights ----

def test_hz31_users_cannot_read_the_token(machine):
    script = (
        "cat /proc/cmdline; for f in environ maps mem cwd root exe fd/0; do cat /proc/1/$f 2>&1 | head -c 200; done; ls /proc/1/fd /proc/1/map_files 2>&1;"
        "dmesg 2>&1 | head -3; head -c 100 /dev/kmsg 2>&1; grep -rs 'bivouac.boot' /proc/cmdline /run /sys/kernel/boot_params /sys/module/*/parameters 2>/dev/null;"
        "tr '\\0' ' ' </proc/1/cmdline; ps -ef; env")
    out = machine.run(script + "; true")
    first_boot_token = machine.console()  # nor is it on the console
    for token in (machine.token,):
        assert token not in out and token not in first_boot_token
    assert "bivouac.boot=" not in out
    assert out.count("denied") >= 5 or "Operation not permitted" in out, out


def test_hz31_users_cannot_talk_to_the_agent(machine):
    out = machine.run("curl -sS -m 5 http://169.254.77.2:7777/agent/v1/health 2>&1; curl -sS -m 5 http://127.0.0.1:7777/ 2>&1; true")
    assert "unauthorized" not in out and "ok" not in out and out.count("curl: (") == 2, out


def test_hz31_helpers_cannot_be_traced(machine):
    machine.request("PUT", "/runtime/v1/files", 200, params={"path": "f"}, data=b"x")
    out = machine.run("for p in $(pgrep -x bivouac-files); do cat /proc/$p/environ /proc/$p/maps 2>&1 | head -c 300; done; true")
    assert "denied" in out, out


# ---- hazard 17 ----

def test_hz17_busy_guest_answers(machine):
    link = machine.link()
    pids = [link.start("sh", "-c", "while :; do :; done") for _ in range(8)]
    time.sleep(1)
    slowest = 0
    for _ in range(10):
        begin = time.monotonic()
        machine.request("GET", "/agent/v1/health", 200)
        slowest = max(slowest, time.monotonic() - begin)
    assert slowest < 1.5
    for pid in pids:
        link.ok(link.signal(pid, 9))
        link.wait_exit(pid)
    link.close()


def test_hz17_out_of_memory_spares_the_agent(machine):
    link = machine.link()
    hog = link.start("python3", "-c", "x=[]\nwhile True: x.append(bytearray(8<<20))")
    slowest, ended = 0, None
    while not ended:
        begin = time.monotonic()
        machine.request("GET", "/agent/v1/health", 200)
        slowest = max(slowest, time.monotonic() - begin)
        link.idle(0.1)
        ended = link.exit_of(hog)
    assert (ended["exit_code"], ended["error"]) == (-9, "killed") and slowest < 3
    assert machine.run("echo fine") == "fine\n"
    link.close()


def test_hz17_fork_bomb_spares_the_agent(machine):
    link = machine.link()
    bomb = link.start("python3", "-c", "import os,time\nn=0\nwhile n<1500:\n try: pid=os.fork()\n except OSError: break\n if pid==0: time.sleep(60); os._exit(0)\n n+=1\nprint('full', flush=True)\ntime.sleep(60)")
    link.until(lambda: b"full" in link.output(bomb), 120)
    assert machine.request("GET", "/agent/v1/health", 200).json()["ok"]
    assert machine.request("GET", "/runtime/v1/files/exists", 200, params={"path": "/etc"}).json()["exists"]
    machine.request("DELETE", f"/runtime/v1/process/{bomb}?signal=KILL", 200)
    link.wait_exit(bomb)
    assert machine.run("echo fine") == "fine\n"
    link.close()


# ---- hazard 18 ----

def test_hz18_full_disk(machine):
    machine.run("df --output=avail -B1 / | tail -1 | { read n; sudo fallocate -l $((n + 400000000)) /var/fill 2>/dev/null || sudo fallocate -l $((n - 4096)) /var/fill; }; true")
    try:
        answer = machine.request("PUT", "/runtime/v1/files", params={"path": "big"}, data=b"x" * (8 << 20))
        assert (answer.status_code, answer.json()["error"]) == (507, "not_enough_space")
        machine.init()
        assert machine.run("echo fine") == "fine\n"
    finally:
        machine.run("sudo rm -f /var/fill")


# ---- the end ----

@pytest.mark.parametrize("how", ["api", "poweroff", "shutdown"])
def test_hz14c_power_off(own_machine, how):
    machine = own_machine()
    machine.request("PUT", "/runtime/v1/files", 200, params={"path": "f"}, data=b"kept")
    link = machine.link()
    pid = link.start("sh", "-c", "trap 'echo bye >/workspace/bye; exit' TERM; echo ready; while :; do sleep 0.05; done")
    link.until(lambda: link.output(pid))
    if how == "api":
        machine.request("POST", "/agent/v1/shutdown", 202, json={})
    else:
        link.start("sudo", how)
    console = machine.wait_off()
    link.close()
    assert "Power down" in console and "could not" not in console, console[-3000:]
    again = own_machine()  # the same disk: everything was written, no journal had to be replayed
    assert again.run("cat f bye") == "keptbye\n"
    assert "recovery" not in again.console()


def test_hz14c_reboot(own_machine):
    machine = own_machine()
    link = machine.link()
    link.start("sudo", "reboot")
    assert "Restarting system" in machine.wait_off() or "reboot:" in machine.console()
    link.close()


def test_boot_without_a_disk_says_why(tmp_path):
    base = os.path.join(IMAGES, "base")
    manifest = json.load(open(os.path.join(base, "manifest.json")))
    serial = str(tmp_path / "serial")
    done = subprocess.run(
        ["qemu-system-x86_64", "-M", "pc-i440fx-7.2", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot",
         "-serial", "file:" + serial, "-kernel", os.path.join(base, manifest["kernel"]), "-initrd", os.path.join(base, manifest["initrd"]),
         "-append", manifest["cmdline"]], timeout=120)
    text = open(serial, errors="replace").read()
    assert done.returncode == 0 and "no disk '/dev/vda' after" in text and "powering off" in text, text
