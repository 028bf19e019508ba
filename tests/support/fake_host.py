# SPDX-License-Identifier: Apache-2.0
"""
fake_host - a scripted peer that speaks the host API over mTLS and reports to control, for faults that a real host shows rarely: slow, failing,
vanishing, duplicate and contradicting answers. It runs no machines; what real ones do is tested end to end.
"""
import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class Fault:
    """How a call is answered. One of: delay_s before the answer; status+code instead of it; cut: the connection, before or after the work."""

    def __init__(self, delay_s=0.0, status=None, code="failed", cut=None, body=None):
        self.delay_s, self.status, self.code, self.cut, self.body = delay_s, status, code, cut, body


class Vm:
    def __init__(self, vm_id, spec):
        self.id = vm_id
        self.spec = spec
        self.generation = spec["generation"]
        self.state = "running"
        self.started_at_ms = int(time.time() * 1000)
        self.deadline_ms = spec["deadline_ms"]
        self.end_reason = None
        self.ended_at_ms = 0

    def wire(self):
        vm = {"id": self.id, "generation": self.generation, "state": self.state, "template": self.spec["template"],
              "cpu_count": self.spec["cpu_count"], "memory_mb": self.spec["memory_mb"], "started_at_ms": self.started_at_ms,
              "deadline_ms": self.deadline_ms}
        if self.state == "gone":
            vm.update(end_reason=self.end_reason, ended_at_ms=self.ended_at_ms)
        return vm


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together: no waiting for the peer's delayed acknowledgement

    def log_message(self, *_):
        pass

    def setup(self):
        try:
            self.request.do_handshake()
        except OSError:
            pass
        super().setup()

    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def handle_call(self, method):
        host = self.server.fake
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        match = re.fullmatch(r"/host/v1/vms/(\d+)(/deadline)?(?:\?generation=(\d+))?", self.path)
        operation = {"PUT": "start", "DELETE": "delete", "POST": "deadline"}.get(method) if match else None
        if not operation:
            self.answer(404, {"error": "not_found", "message": "no such route"})
            return
        vm_id, generation = match.group(1), int(match.group(3) or (body or {}).get("generation", 0))
        fault = host.next_fault(operation, vm_id)
        host.calls.append((operation, vm_id, generation))
        if fault.cut == "before":
            self.close_connection = True
            return
        if fault.delay_s:
            host.stopping.wait(fault.delay_s)
        if fault.status:
            self.answer(fault.status, fault.body or {"error": fault.code, "message": "scripted"})
            return
        status, reply = getattr(host, "do_" + operation)(vm_id, generation, body)
        if fault.cut == "after":
            self.close_connection = True
            return
        self.answer(status, reply)

    def do_PUT(self):
        self.handle_call("PUT")

    def do_DELETE(self):
        self.handle_call("DELETE")

    def do_POST(self):
        self.handle_call("POST")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake, context):
        self.fake, self.context = fake, context
        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self):
        sock, address = super().get_request()
        sock.settimeout(60)
        return self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_):
        pass  # cut connections are what this is made for


class FakeHost:
    def __init__(self, name, pki, control_hosts_url, token, templates=(), vcpus=64, memory_mb=131072, vms=100, beat_s=0.2):
        """pki: folder with ca.pem, <name>.pem, <name>.key. templates: [{slug, version, cpu_count, memory_mb}]."""
        self.name, self.token, self.beat_s = name, token, beat_s
        self.control = control_hosts_url
        self.capacity = {"vcpus": vcpus, "memory_mb": memory_mb, "vms": vms}
        self.disk = {"bytes_total": 10 ** 12, "bytes_free": 6 * 10 ** 11}
        self.templates = [{"status": "ready", **t} for t in templates]
        self.vms, self.calls = {}, []
        self.lock = threading.RLock()
        self.faults = {"start": [], "delete": [], "deadline": []}
        self.always = {}
        self.stopping = threading.Event()
        self.silent = False
        self.keeps_deadlines = True
        self.last_reply = None
        self.beat_errors = []
        cert, key, self.ca = f"{pki}/{name}.pem", f"{pki}/{name}.key", f"{pki}/ca.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = Server(self, context)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.cert, self.session.verify = (cert, key), self.ca
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.threads = [threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
                        threading.Thread(target=self._live, daemon=True)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if not self.stopping.is_set():
            self.stopping.set()
            self.server.shutdown()
            self.server.server_close()
            self.threads[1].join()

    # ---- script ----

    def script(self, operation, *faults):
        """The next calls of that operation are answered like this, one each; then as usual."""
        self.faults[operation].extend(faults)

    def next_fault(self, operation, vm_id):
        with self.lock:
            if self.faults[operation]:
                return self.faults[operation].pop(0)
        always = self.always.get(operation)
        return (always(vm_id) if callable(always) else always) or Fault()

    def end(self, vm_id, reason):
        """The machine ends by itself."""
        with self.lock:
            vm = self.vms[str(vm_id)]
            vm.state, vm.end_reason, vm.ended_at_ms = "gone", reason, int(time.time() * 1000)

    def lose(self, vm_id):
        """The machine vanishes and the host has forgotten it."""
        with self.lock:
            del self.vms[str(vm_id)]

    def running(self):
        with self.lock:
            return sorted(int(vm.id) for vm in self.vms.values() if vm.state == "running")

    # ---- host API ----

    def do_start(self, vm_id, generation, body):
        with self.lock:
            vm = self.vms.get(vm_id)
            if vm and vm.generation > generation:
                return 409, {"error": "stale_generation", "message": "a later generation runs here"}
            if not vm or vm.generation < generation or vm.state == "gone":
                if len(self.running()) >= self.capacity["vms"]:
                    return 503, {"error": "no_capacity", "message": "no slot"}
                vm = self.vms[vm_id] = Vm(vm_id, body)
            return 200, {"vm": vm.wire()}

    def do_delete(self, vm_id, generation, _):
        with self.lock:
            vm = self.vms.get(vm_id)
            if vm and vm.generation > generation:
                return 409, {"error": "stale_generation", "message": "a later generation runs here"}
            self.vms.pop(vm_id, None)
            return 204, None

    def do_deadline(self, vm_id, generation, body):
        with self.lock:
            vm = self.vms.get(vm_id)
            if not vm or vm.state != "running":
                return 404, {"error": "vm_not_found", "message": "no such machine"}
            vm.deadline_ms = body["deadline_ms"]
            return 200, {"vm": vm.wire()}

    # ---- reports ----

    def report(self):
        with self.lock:
            live = [vm for vm in self.vms.values() if vm.state == "running"]
            used = {"vcpus": sum(vm.spec["cpu_count"] for vm in live), "memory_mb": sum(vm.spec["memory_mb"] for vm in live), "vms": len(live)}
            return {"host_api_url": self.url, "gateway_url": "http://127.0.0.1:1", "version": "test", "accelerator": "tcg",
                    "capacity": self.capacity, "used": used, "disk": self.disk, "templates": self.templates,
                    "vms": [vm.wire() for vm in self.vms.values()]}

    def beat(self, report=None, token=None):
        """One report; the answer of control."""
        return self.session.post(self.control + "/internal/v1/heartbeat", json=report or self.report(), timeout=20,
                                 headers={"Authorization": f"Bearer {token or self.token}"})

    def _beat_once(self):
        try:
            answer = self.beat()
            if answer.status_code != 200:
                self.beat_errors.append(answer.text)
                return
            self.last_reply = answer.json()
            with self.lock:
                for vm_id in self.last_reply.get("ended_ack", []):
                    vm = self.vms.get(vm_id)
                    if vm and vm.state == "gone":
                        del self.vms[vm_id]
        except requests.RequestException as error:
            self.beat_errors.append(str(error))

    def _live(self):
        while not self.stopping.is_set():
            now = time.time() * 1000
            with self.lock:
                due = [vm for vm in self.vms.values() if vm.state == "running" and vm.deadline_ms <= now]
            for vm in due if self.keeps_deadlines else []:
                self.end(vm.id, "timeout")
            if not self.silent:
                self._beat_once()
            self.stopping.wait(self.beat_s)
