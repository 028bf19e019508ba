# SPDX-License-Identifier: Apache-2.0
"""status - what runs of an instance, for people."""
import os
import time

from bivdev import console, fleet, leftovers, proc


def rss_mb(pid):
    """Resident memory of a service's own processes in MB; machines are counted elsewhere."""
    total = 0
    pids = {pid} | {p for p, _, _ in proc.each() if parent_of(p) == pid and not is_machine(p)}
    for one in pids:
        try:
            with open(f"/proc/{one}/statm") as file:
                total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            pass
    return total / 1e6


def is_machine(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("qemu-")
    except OSError:
        return False


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rsplit(") ", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


def ago(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def show(inst):
    """True when everything runs."""
    services = inst.supervisor.services()
    if not services:
        print("Nothing runs. ./dev up starts it.")
        return False
    console.title(f"Services of {inst.state}")
    for service in services.values():
        good = service["state"] == "running"
        mark = console.green("●") if good else console.red("●")
        detail = f"pid {service['pid']}, {rss_mb(service['pid']):.0f} MB, {ago(time.time() - service['since'])}" if service["pid"] else ""
        restarts = service["starts"] - 1
        more = f", restarted {restarts} times" if restarts > 0 else ""
        print(f"  {mark} {service['name']:<10} {service['state']:<9} {console.dim(detail + more)}")
    show_host(inst)
    print()
    print(f"  API          {inst.api_url}")
    print(f"  data plane   http://<route-token>.sandbox.{inst.sandbox_domain}")
    print(f"  logs         {inst.path('log')}")
    return all(s["state"] == "running" for s in services.values())


def show_host(inst):
    host = fleet.host_status(inst)
    if not host:
        print("  vmhost does not answer")
        return
    console.title(f"Host {host['name']}")
    print(f"  accelerator  {host['accelerator']}")
    for template in host["templates"]:
        print(f"  template     {template['slug']} {template['version']}: {template['status']} {template.get('message') or ''}")
    machines = leftovers.Leftovers(inst.state, inst.ident).machines()
    print(f"  machines     {len(machines)} QEMU processes")
