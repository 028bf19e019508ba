# SPDX-License-Identifier: Apache-2.0
"""instance - the Bivouac that `./dev up` has left running, seen from outside: its API, its host API, its processes."""
import http.client
import json
import os
import shlex
import socket
import ssl
import time
from urllib.parse import urlsplit

from benchlib import Unavailable, measure
from bivdev.api import Api, ApiError
from bivdev.instance import Instance
from bivdev.leftovers import Leftovers
from bivdev.process_stream import ProcessStream


def read_exports(path):
    """Shell exports (`export NAME=value`, quoted or not) as a dict."""
    found = {}
    with open(path) as file:
        for line in file:
            words = shlex.split(line, comments=True)
            if words and words[0] == "export" and "=" in words[1]:
                name, value = words[1].split("=", 1)
                found[name] = value
    return found


class DevInstance:
    def __init__(self, env_file):
        if not os.path.exists(env_file):
            raise Unavailable(f"{env_file} is not there: run ./dev up")
        self.env = read_exports(env_file)
        state = self.env["BIVOUAC_STATE_DIR"]
        facts_file = os.path.join(state, "instance.json")
        if not os.path.exists(facts_file):
            raise Unavailable(f"{state} holds no instance: run ./dev up")
        with open(facts_file) as file:
            facts = json.load(file)
        self.inst = Instance(state, facts["ident"], facts.get("domain", "localhost"), preferred_ports=True)
        services = self.inst.supervisor.services()
        for name in ("control", "gateway", "vmhost", "redis", "postgres"):
            if not services or services.get(name, {}).get("state") != "running":
                raise Unavailable(f"{name} of {state} does not run: run ./dev up")
        self.found = len(Leftovers(self.inst.state, self.inst.ident).machines())  # the user's own
        self.state = state
        self.services = services
        self.api = Api(self.env["BIVOUAC_API_URL"], self.env["BIVOUAC_API_KEY"])
        self.api.connection.connect()
        self.api.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pids(self, name):
        return measure.descendants(self.services[name]["pid"])

    def daemon_processes(self):
        """[(label, pid)]: control, gateway and both halves of vmhost; QEMUs are not among them."""
        machines = set(self.machines())
        found = [("control", self.services["control"]["pid"]), ("gateway", self.services["gateway"]["pid"])]
        for number, pid in enumerate(p for p in self.pids("vmhost") if p not in machines):
            with open(f"/proc/{pid}/status") as file:
                uid = next(line for line in file if line.startswith("Uid:")).split()[1]
            found.append((f"vmhost {'parent' if uid == '0' else 'child'}" + (f" {number}" if number > 1 else ""), pid))
        return found

    def machines(self):
        return Leftovers(self.state, self.inst.ident).machines()

    # ---- sandboxes ----

    def create(self, **fields):
        return self.api.call("POST", "/sandboxes", {"template": "base", "timeout": 900, **fields})

    def destroy(self, made):
        self.api.call("DELETE", f"/sandboxes/{made['sandbox']['id']}")

    def destroy_quietly(self, made):
        try:
            self.destroy(made)
        except (ApiError, OSError):
            pass

    def stream(self, made):
        return ProcessStream(made["session"]["data_plane_url"], made["session"]["access_token"])

    def host_vm(self, made):
        """The host's own view of the VM, timings included, over the same mTLS that control uses."""
        context = ssl.create_default_context(cafile=self.inst.path("pki", "ca.pem"))
        context.load_cert_chain(self.inst.path("pki", "control.pem"), self.inst.secret("control", "tls.key"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.inst.port("vmhost_api"), context=context, timeout=20)
        try:
            connection.request("GET", f"/host/v1/vms/{made['sandbox']['id']}")
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise Unavailable(f"host API: {answer.status} {text[:200]!r}")
            return json.loads(text)["vm"]
        finally:
            connection.close()

    def wait_quiet(self, machines=None, timeout_s=20):
        """Until no more than so many machines live (those that lived at the begin) and the pool has had time to fill up again."""
        machines = self.found if machines is None else machines
        end = time.monotonic() + timeout_s
        while len(self.machines()) > machines and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.4)

    def ws_parts(self, made, path="/runtime/v1/process"):
        """(url with a number for the name, Host header, token): what bivouac-load needs."""
        parts = urlsplit(made["session"]["data_plane_url"])
        scheme = "wss" if parts.scheme == "https" else "ws"
        gateway = urlsplit(self.env["BIVOUAC_GATEWAY_URL"])
        return f"{scheme}://{gateway.hostname}:{gateway.port}{path}", parts.netloc, made["session"]["access_token"]
