# SPDX-License-Identifier: Apache-2.0
"""up - brings an instance to life step by step, each one harmless when it has been done before."""
import os
import shlex
import subprocess
import sys
import time

from bivdev import console, fleet, leftovers
from bivdev.admin import Admin, AdminError
from bivdev.demo import Demo
from bivdev.instance import DAEMONS, Instance, write_file
from bivdev.supervisor_client import SupervisorClient

DATABASES = ("postgres", "redis")
TEMPLATE_TIMEOUT_S = 600


class UpError(RuntimeError):
    pass


class Up:
    def __init__(self, inst: Instance, build_dir, env_file):
        self.inst = inst
        self.build_dir = build_dir
        self.env_file = env_file
        self.admin = Admin(inst)
        self.supervisor: SupervisorClient = inst.supervisor
        self.stale = set()  # daemons to restart: program or configuration is newer than the process

    def run(self):
        with console.step("keys, certificates, database folders"):
            moved = self.inst.prepare()
        for name, (old, new) in moved.items():
            print(f"    port {old} of {name} is taken by another program, using {new}")
        if self.inst.install(self.build_dir):
            self.stale.update(DAEMONS)
        self.stale.update(self.inst.write_configs())
        with console.step("PostgreSQL and Redis"):
            self.start_supervisor()
            self.start(DATABASES, 60)
            self.inst.postgres.ensure_database()
        with console.step("database migrations"):
            self.admin.migrate()
        self.ensure_host()
        with console.step("control, gateway, vmhost"):
            self.start(DAEMONS, 90)
        with console.step("team and API key"):
            self.ensure_key()
        self.write_env()
        self.wait_template()

    def start_supervisor(self):
        self.inst.write_services(autostart=DATABASES)
        if self.supervisor.running():
            self.stale.update(self.supervisor.call(cmd="reload")["changed"])
        else:
            child = self.inst.start_supervisor()
            self.wait_supervisor(child)

    def wait_supervisor(self, child):
        while not self.supervisor.running():
            try:
                child.wait(0.02)
                raise UpError(f"the supervisor ended at once; see {self.inst.log('supervisor')}")
            except subprocess.TimeoutExpired:
                pass

    def start(self, names, timeout_s):
        have = self.supervisor.services()
        for name in names:
            if name in self.stale and have[name]["pid"]:
                self.supervisor.call(cmd="restart", name=name)
            elif not have[name]["wanted"]:
                self.supervisor.call(cmd="start", name=name)
            self.stale.discard(name)
        broken = self.supervisor.wait_running(names, timeout_s)
        if broken:
            raise UpError(f"{broken['name']} does not come up (last exit {broken.get('last_exit')}):\n{tail(broken.get('log'))}")

    def ensure_host(self):
        """The template and the host's token must be known to control before vmhost first reports."""
        self.admin.ensure_template()
        self.admin.ensure_host_token()

    def ensure_key(self):
        if "api_key" not in self.inst.facts or not self.key_works():
            self.inst.facts.update(self.admin.make_team_and_key())
            self.inst.save_facts()

    def key_works(self):
        from bivdev.api import Api, ApiError

        try:
            Api(self.inst.api_url, self.inst.facts["api_key"], 10).call("GET", "/sandboxes?limit=1")
            return True
        except ApiError as error:
            if error.status == 401:
                return False
            raise

    def write_env(self):
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.inst.shell_exports().items()]
        os.makedirs(os.path.dirname(self.env_file), exist_ok=True)
        write_file(self.env_file, "\n".join(lines) + "\n", 0o600)

    def wait_template(self):
        with console.step("template base: boot once and take the snapshot") as step:
            while True:
                template = fleet.template_status(self.inst)
                if template.get("status") == "ready":
                    return
                if template.get("status") == "failed":
                    raise UpError(f"the template could not be made: {template.get('message')}\n{tail(self.inst.log('vmhost'))}")
                if step.seconds > TEMPLATE_TIMEOUT_S:
                    raise UpError(f"the template is not ready after {TEMPLATE_TIMEOUT_S} s:\n{tail(self.inst.log('vmhost'))}")
                step.tick(template.get("message") or template.get("status") or "")
                time.sleep(0.2)

    def demo(self):
        console.title("A sandbox, right now")
        demo = Demo(self.inst.api_url, self.inst.facts["api_key"])
        demo.remove_earlier()
        demo.run().show()
        path = os.path.join(os.path.dirname(self.env_file), "sandbox")
        write_file(path, "".join(f"export {k}={shlex.quote(v)}\n" for k, v in {
            "SANDBOX_ID": str(demo.sandbox["id"]), "SANDBOX_URL": demo.session["data_plane_url"],
            "SANDBOX_TOKEN": demo.session["access_token"]}.items()), 0o600)
        self.show_next(path)

    def show_next(self, sandbox_file):
        console.title("It keeps running. Try (paste as it is):")
        print(f"""
  {console.dim('# the addresses, the key, and the sandbox made just now (for an hour)')}
  . {rel(self.env_file)}; . {rel(sandbox_file)}

  {console.dim('# files')}
  curl -sS "$SANDBOX_URL/runtime/v1/files?path=/workspace/hello.py" -H "Authorization: Bearer $SANDBOX_TOKEN"
  curl -sS "$SANDBOX_URL/runtime/v1/directories?path=/workspace" -H "Authorization: Bearer $SANDBOX_TOKEN"

  {console.dim('# sandboxes: list, create, delete')}
  curl -sS "$BIVOUAC_API_URL/sandboxes" -H "Authorization: Bearer $BIVOUAC_API_KEY"
  curl -sS "$BIVOUAC_API_URL/sandboxes" -H "Authorization: Bearer $BIVOUAC_API_KEY" -H 'Content-Type: application/json' -d '{{"template":"base","timeout":300}}'
  curl -sS -X DELETE "$BIVOUAC_API_URL/sandboxes/$SANDBOX_ID" -H "Authorization: Bearer $BIVOUAC_API_KEY"

  ./dev run 'uname -a'      {console.dim('one command in a new sandbox')}
  ./dev status              {console.dim('what runs, with which accelerator')}
  ./dev logs -f vmhost      {console.dim('follow a log')}
  ./dev down                {console.dim('end everything; --purge also forgets the data')}
""")


def rel(path):
    return os.path.relpath(path)


def tail(path, lines=20):
    try:
        with open(path, errors="replace") as file:
            return "".join("  | " + line for line in file.readlines()[-lines:])
    except (OSError, TypeError):
        return ""


def down(inst, purge):
    if inst.supervisor.running():
        with console.step("end control, gateway, vmhost, PostgreSQL, Redis"):
            inst.supervisor.call(cmd="shutdown")
            while inst.supervisor.running():
                time.sleep(0.05)
    with console.step("remove machines, namespaces, cgroups, mounts"):
        gone = leftovers.Leftovers(inst.state, inst.ident).remove()
    for kind, items in gone.items():
        print(f"    {len(items)} {kind}")
    left = leftovers.Leftovers(inst.state, inst.ident).all()
    if left:
        raise UpError(f"could not remove: {left}")
    if purge:
        inst.purge()
        console.done("data removed")


def fail(error):
    print(f"{console.red('error:')} {error}", file=sys.stderr)
    sys.exit(1)


ERRORS = (UpError, AdminError, RuntimeError, OSError)
