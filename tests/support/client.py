# SPDX-License-Identifier: Apache-2.0
"""client - the public API as a user's program sees it."""
import requests

from bivdev.process_stream import ProcessStream


class ApiClient:
    """Control's API. Raises AssertionError with the answer when the status is not the expected one."""

    def __init__(self, url, key=None, timeout_s=150):
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False
        self.timeout_s = timeout_s
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def request(self, method, path, expect=None, **kwargs):
        answer = self.session.request(method, self.url + path, timeout=kwargs.pop("timeout", self.timeout_s), **kwargs)
        if expect is not None:
            wanted = expect if isinstance(expect, (tuple, list, set)) else (expect,)
            assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer

    def get(self, path, expect=200, **kwargs):
        return self.request("GET", path, expect, **kwargs)

    def post(self, path, body=None, expect=(200, 201), **kwargs):
        return self.request("POST", path, expect, json=body, **kwargs)

    def delete(self, path, expect=204, **kwargs):
        return self.request("DELETE", path, expect, **kwargs)

    def create_sandbox(self, **fields):
        made = self.post("/sandboxes", {"template": "base", "timeout": 600, **fields}, expect=201).json()
        return Sandbox(self, made["sandbox"], made["session"])


class DataPlane(ApiClient):
    """One sandbox's own address with its session token. connect_to sends the bytes elsewhere (a fault proxy); Host stays."""

    def __init__(self, url, token, timeout_s=60):
        super().__init__(url + "/runtime/v1", token, timeout_s)


class Sandbox:
    def __init__(self, api, sandbox, session):
        self.api = api
        self.sandbox = sandbox
        self.id = str(sandbox["id"])
        self.use(session)

    def use(self, session):
        self.session = session
        self.url, self.token = session["data_plane_url"], session["access_token"]
        self.data = DataPlane(self.url, self.token)

    # ---- life ----

    def get(self):
        return self.api.get(f"/sandboxes/{self.id}").json()["sandbox"]

    def delete(self, expect=204):
        return self.api.delete(f"/sandboxes/{self.id}", expect=expect)

    def resume(self):
        made = self.api.post(f"/sandboxes/{self.id}/resume", {}).json()
        self.use(made["session"])
        return made

    # ---- files ----

    def write(self, path, data, expect=200, **query):
        return self.data.request("PUT", "/files", expect, params={"path": path, **query}, data=data)

    def read(self, path, expect=200, **query):
        return self.data.get("/files", expect, params={"path": path, **query}).content

    def stat(self, path, expect=200, **query):
        return self.data.get("/files/stat", expect, params={"path": path, **query}).json()

    # ---- processes ----

    def process(self, connect_to=None, timeout_s=30):
        return ProcessStream(self.url, self.token, connect_to, timeout_s)

    def start(self, cmd, *args, **kwargs):
        return self.process().start(cmd, *args, **kwargs)

    def run(self, cmd, *args, timeout_s=30, **kwargs):
        """(exit code, stdout, stderr)"""
        with self.process(timeout_s=timeout_s).start(cmd, *args, **kwargs) as process:
            code = process.finish(timeout_s)
            return code, process.output("stdout"), process.output("stderr")

    def sh(self, command, timeout_s=30, **kwargs):
        """stdout of a bash command that must end with 0."""
        code, out, err = self.run("bash", "-c", command, timeout_s=timeout_s, **kwargs)
        assert code == 0, f"{command}: {code}: {out!r} {err!r}"
        return out.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.delete(expect=(204, 404))
