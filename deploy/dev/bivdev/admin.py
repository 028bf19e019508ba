# SPDX-License-Identifier: Apache-2.0
"""admin - runs the control binary's own commands (migrations, users, teams, keys, hosts) as its uid."""
import json
import subprocess


class AdminError(RuntimeError):
    pass


class Admin:
    def __init__(self, inst):
        self.inst = inst

    def run(self, *args):
        from bivdev.instance import UID_CONTROL, as_user

        argv = as_user(UID_CONTROL, self.inst.path("bin", "bivouac-control"), *args, "--config", self.inst.path("conf", "control.json"))
        done = subprocess.run(argv, cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AdminError(f"bivouac-control {' '.join(args)}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout

    def migrate(self):
        return self.run("migrate")

    def call(self, *args):
        return json.loads(self.run("admin", *args))
