# SPDX-License-Identifier: Apache-2.0
"""configs - the daemons' configuration files and command lines, made from an instance. The one place that knows their keys."""
import os

from bivdev import leftovers, ports

ACCELERATORS = "kvm tcg"


def control(inst):
    return {
        "public_listen": ports.listen(inst.port("api")),
        "host_listen": f"127.0.0.1:{inst.port('control_hosts')}",
        "admin_listen": f"127.0.0.1:{inst.port('control_admin')}",
        "database_url_file": inst.secret("control", "database_url"),
    }


def gateway(inst):
    return {
        "public_listen": ports.listen(inst.port("gateway")),
        "admin_listen": f"127.0.0.1:{inst.port('gateway_admin')}",
        "redis_addr": f"127.0.0.1:{inst.port('redis')}",
        "redis_password_file": inst.secret("gateway", "redis_password"),
        "session_keys_dir": inst.path("pki", "session"),
        "gate_socket": inst.path("run", "vmhost", "gate.sock"),
    }


def vmhost(inst):
    return {
        "images_dir": inst.images,
        "state_dir": inst.path("vmhost"),
        "name_prefix": leftovers.name_prefix(inst.ident),
        "uid_base": leftovers.uid_base(inst.ident),
    }


def all_of(inst):
    return {"control": control(inst), "gateway": gateway(inst), "vmhost": vmhost(inst)}


def program_files(name):
    """What a daemon needs of a build folder: its program and the library beside it."""
    return [f"bin/bivouac-{name}"] + (["bin/bivouac-ram-shim.so"] if name == "vmhost" else [])


def service(inst, name):
    """The supervisor's entry of a daemon."""
    from bivdev.instance import UID_CONTROL, UID_GATEWAY, as_user

    program = inst.path("bin", f"bivouac-{name}")
    conf = inst.path("conf", f"{name}.json")
    health = f"http://127.0.0.1:{inst.port(name + '_admin')}/health"
    if name == "control":
        argv, needs = as_user(UID_CONTROL, program, "serve", "--config", conf), ["postgres"]
    elif name == "gateway":
        argv, needs = as_user(UID_GATEWAY, program, "--config", conf), ["redis"]
    else:
        argv, needs = [program, "--config", conf], []
    return {"name": name, "argv": argv, "log": inst.log(name), "needs": needs, "ready": {"http": health}, "stop_timeout_s": 15}
