# SPDX-License-Identifier: Apache-2.0
"""
leftovers - finds and removes what an instance's vmhost has made on this machine: machines, namespaces, cgroups, mounts.
Everything is found by what belongs to this instance alone (its range of uids, its name prefix, its folder), so that another
checkout's machines are left in peace. `python3 -m bivdev.leftovers STATE_DIR` removes it all.
"""
import json
import os
import signal
import subprocess
import sys
import time

from bivdev import proc

CGROUP_ROOT = "/sys/fs/cgroup"
NETNS_DIR = "/run/netns"
UIDS_PER_INSTANCE = 1024  # as many slots as a vmhost can have


def instance_name(ident):
    """vmhost's `instance`: part of the names of its namespaces (bvm<instance>-<slot>) and of its cgroup (bivouac-<instance>)."""
    return ident[:6]


def uid_base(ident):
    """First of the uids that the machines of this instance run under."""
    return 1_000_000 + int(ident[:4], 16) * UIDS_PER_INSTANCE


class Leftovers:
    def __init__(self, state, ident):
        self.state = os.path.realpath(state)
        self.prefix = f"bvm{instance_name(ident)}-"
        self.cgroup = f"bivouac-{instance_name(ident)}"
        base = uid_base(ident)
        self.uids = range(base, base + UIDS_PER_INSTANCE)

    def machines(self):
        return [pid for pid, argv, uid in proc.each() if uid in self.uids and argv]

    def namespaces(self):
        try:
            return sorted(n for n in os.listdir(NETNS_DIR) if n.startswith(self.prefix))
        except FileNotFoundError:
            return []

    def links(self):
        return sorted(n for n in os.listdir("/sys/class/net") if n.startswith(self.prefix))

    def cgroups(self):
        """Deepest first."""
        found = []
        for root in [CGROUP_ROOT] + [os.path.join(CGROUP_ROOT, n) for n in sorted(os.listdir(CGROUP_ROOT))]:
            if os.path.islink(root) or not os.path.isdir(root):
                continue
            path = os.path.join(root, self.cgroup)
            if os.path.isdir(path):
                found += [folder for folder, _, _ in os.walk(path, topdown=False)]
        return found

    def mounts(self):
        """Innermost first."""
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4].encode().decode("unicode_escape") for line in file]
        ours = [p for p in points if p.startswith(self.state + "/") or os.path.basename(p).startswith(self.prefix)]
        return list(reversed(ours))

    def all(self):
        found = {"machines": self.machines(), "namespaces": self.namespaces(), "links": self.links(), "cgroups": self.cgroups(),
                 "mounts": self.mounts()}
        return {kind: items for kind, items in found.items() if items}

    def remove(self):
        """What it removed, by kind. Errors are told on stderr and do not stop the rest."""
        gone = self.all()
        self._end_machines()
        for name in self.namespaces():
            self._run("ip", "netns", "delete", name)
        for name in self.links():
            self._run("ip", "link", "delete", name)
        for path in self.mounts():
            self._run("umount", "--lazy", path)
        for path in self.cgroups():
            self._remove_cgroup(path)
        return gone

    def _end_machines(self):
        who = [proc.ident(pid) for pid in self.machines()]
        for one in who:
            proc.send(one, signal.SIGKILL)
        for one in who:
            proc.wait_gone(one, 10)

    @staticmethod
    def _remove_cgroup(path):
        for _ in range(100):
            try:
                os.rmdir(path)
                return
            except FileNotFoundError:
                return
            except OSError as error:  # busy until the last process of it has been reaped
                last = error
                time.sleep(0.05)
        print(f"cannot remove {path}: {last}", file=sys.stderr)

    @staticmethod
    def _run(*argv):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{' '.join(argv)}: {done.stderr.strip()}", file=sys.stderr)


def main():
    state = sys.argv[1]
    with open(os.path.join(state, "instance.json")) as file:
        ident = json.load(file)["ident"]
    for kind, items in Leftovers(state, ident).remove().items():
        print(f"removed {kind}: {' '.join(str(i) for i in items)}", file=sys.stderr)


if __name__ == "__main__":
    main()
