# SPDX-License-Identifier: Apache-2.0
"""redis - a private Redis server with an append-only file, on a loopback port with a password."""
import os
import secrets


class Redis:
    def __init__(self, folder, secret_file, port, uid):
        self.folder = folder
        self.secret_file = secret_file
        self.port = port
        self.uid = uid
        self.conf = os.path.join(folder, "redis.conf")

    @property
    def password(self):
        with open(self.secret_file) as file:
            return file.read().strip()

    @property
    def url(self):
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def ensure(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data, exist_ok=True)
        os.chown(data, self.uid, self.uid)
        os.chmod(data, 0o700)
        if not os.path.exists(self.secret_file):
            fd = os.open(self.secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as out:
                out.write(secrets.token_hex(24) + "\n")
        lines = [
            "bind 127.0.0.1", f"port {self.port}", "protected-mode yes", f"requirepass {self.password}", "daemonize no",
            f"dir {data}", "appendonly yes", "appendfsync everysec", "save \"\"", "maxmemory 256mb", "maxmemory-policy noeviction",
            "loglevel notice", "databases 1",
        ]
        with open(self.conf, "w") as out:
            os.fchmod(out.fileno(), 0o600)
            os.fchown(out.fileno(), self.uid, self.uid)
            out.write("\n".join(lines) + "\n")

    def service(self, as_user, log):
        return {"name": "redis", "argv": as_user(self.uid, "/usr/bin/redis-server", self.conf), "log": log,
                "ready": {"tcp": self.port}, "stop_timeout_s": 10}
