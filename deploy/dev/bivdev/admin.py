# SPDX-License-Identifier: Apache-2.0
"""admin - runs the control binary's own commands (migrations, users, teams, keys, hosts) as its uid."""
import json
import os
import subprocess

DEV_EMAIL = "dev@localhost"
DEV_TEAM = "dev"


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
        return json.loads(self.run("admin", *args, "--json"))

    def ensure_template(self):
        """Makes the image that lies in the images folder known to control. Again is fine."""
        return self.call("template", "register", "--manifest", os.path.join(self.inst.images, "base", "manifest.json"))

    def ensure_host_token(self):
        """The token that vmhost reports with; made anew when the database does not know the one in the file."""
        from bivdev.instance import UID_VMHOST, write_file

        path = self.inst.secret("vmhost", "host_token")
        if os.path.exists(path):
            with open(path) as file:
                have = file.read().split("_")[1:2]
            known = [token["id"] for token in self.call("host-token", "list")["host_tokens"] if not token.get("revoked_at")]
            if have and have[0] in known:
                return
            os.unlink(path)
        made = self.call("host-token", "create", "--host", self.inst.host_name)
        write_file(path, made["token"] + "\n", 0o400, UID_VMHOST)

    def make_team_and_key(self):
        """A user with a personal team, and a key for it. A second call makes another key of the same user."""
        try:
            self.call("user", "create", "--email", DEV_EMAIL, "--name", "Developer", "--team", DEV_TEAM)
        except AdminError as error:
            if "exists" not in str(error):
                raise
        made = self.call("key", "create", "--email", DEV_EMAIL, "--team", DEV_TEAM, "--name", "dev up")
        return {"team": DEV_TEAM, "api_key": made["key"]}
