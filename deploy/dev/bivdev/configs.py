# SPDX-License-Identifier: Apache-2.0
"""configs - the daemons' configuration files and command lines, made from an instance. The one place that knows their keys."""
import os

from bivdev import leftovers, ports

def control(inst):
    return {
        "public_listen": ports.listen(inst.port("api")),
        "host_listen": f"127.0.0.1:{inst.port('control_hosts')}",
        "admin_listen": f"127.0.0.1:{inst.port('control_admin')}",
        "tls_cert": inst.path("pki", "control.pem"),
        "tls_key": inst.secret("control", "tls.key"),
        "tls_ca": inst.path("pki", "ca.pem"),
        "database_url_file": inst.secret("control", "database_url"),
        "session_kid": inst.facts["session_kid"],
        "session_key_file": inst.secret("control", "session.key"),
        "data_keys_file": inst.secret("control", "data.keys"),
        "domain": inst.domain,
        "url_scheme": "http",
        "data_plane_port": inst.port("gateway"),
    }


def gateway(inst):
    return {
        "public_listen": ports.listen(inst.port("gateway")),
        "admin_listen": f"127.0.0.1:{inst.port('gateway_admin')}",
        "domain": inst.domain,
        "redis_addr": f"127.0.0.1:{inst.port('redis')}",
        "redis_password_file": inst.secret("gateway", "redis_password"),
        "session_keys_dir": inst.path("pki", "session"),
        "gate_socket": gate_socket(inst),
    }


def vmhost(inst):
    from bivdev.instance import UID_GATEWAY, UID_VMHOST

    return {
        "instance": leftovers.instance_name(inst.ident),
        "host_name": inst.host_name,
        "state_dir": inst.path("vmhost"),
        "images_dir": inst.images,
        "run_dir": inst.path("run", "vmhost"),
        "listen": f"127.0.0.1:{inst.port('vmhost_api')}",
        "admin_listen": f"127.0.0.1:{inst.port('vmhost_admin')}",
        "tls_cert": inst.path("pki", "vmhost.pem"),
        "tls_key": inst.secret("vmhost", "tls.key"),
        "tls_ca": inst.path("pki", "ca.pem"),
        "gate_socket": gate_socket(inst),
        "gateway_uid": UID_GATEWAY,
        "child_uid": UID_VMHOST,
        "uid_base": leftovers.uid_base(inst.ident),
        "control_addr": f"127.0.0.1:{inst.port('control_hosts')}",
        "host_token_file": inst.secret("vmhost", "host_token"),
        "host_api_url": f"https://127.0.0.1:{inst.port('vmhost_api')}",
        "gateway_url": inst.gateway_url,
    }


def gate_socket(inst):
    return inst.path("run", "gate", "gate.sock")


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
