# SPDX-License-Identifier: Apache-2.0
"""postgres - a private PostgreSQL cluster: own data folder, own port, own password; the system's clusters are never touched."""
import glob
import os
import pwd
import secrets
import subprocess


class PostgresError(RuntimeError):
    pass


def find_bin():
    """The folder of the newest installed server (initdb and postgres are not in PATH on Debian)."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(p.split("/")[4]))
    if not found:
        raise PostgresError("PostgreSQL is not installed (package postgresql-15)")
    return os.path.dirname(found[-1])


class Postgres:
    DATABASE = USER = "bivouac"

    def __init__(self, folder, run_dir, secret_file, port):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.run_dir = run_dir
        self.secret_file = secret_file
        self.port = port
        self.bin = find_bin()
        try:
            self.account = pwd.getpwnam("postgres")
        except KeyError:
            raise PostgresError("the system user 'postgres' is missing (package postgresql-common)") from None

    @property
    def password(self):
        with open(self.secret_file) as file:
            return file.read().strip()

    @property
    def url(self):
        return f"postgresql://{self.USER}:{self.password}@127.0.0.1:{self.port}/{self.DATABASE}"

    def as_postgres(self, *argv):
        return ["setpriv", f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups",
                "--no-new-privs", "--inh-caps=-all", "--", *argv]

    def _run(self, *argv, **kwargs):
        done = subprocess.run(self.as_postgres(*argv), cwd="/", capture_output=True, text=True, stdin=kwargs.pop("stdin", subprocess.DEVNULL), **kwargs)
        if done.returncode != 0:
            raise PostgresError(f"{os.path.basename(argv[0])}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def ensure_cluster(self, durable=True):
        """Makes the data folder once. durable=False skips fsync: for tests that do not pull the plug of the machine."""
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._write_settings(durable)
            return
        for folder in (self.folder, self.run_dir):
            os.makedirs(folder, exist_ok=True)
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
        os.chmod(self.folder, 0o700)
        os.chmod(self.run_dir, 0o755)
        if not os.path.exists(self.secret_file):
            fd = os.open(self.secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as out:
                out.write(secrets.token_hex(24) + "\n")
        work = os.path.join(self.folder, "data.new")
        subprocess.run(["rm", "-rf", "--one-file-system", work], check=True)
        pwfile = os.path.join(self.folder, "pw")
        with open(pwfile, "w") as out:
            os.chmod(pwfile, 0o600)
            os.fchown(out.fileno(), self.account.pw_uid, self.account.pw_gid)
            out.write(self.password + "\n")
        sync = [] if durable else ["--no-sync"]
        self._run(os.path.join(self.bin, "initdb"), "-D", work, "-U", self.USER, f"--pwfile={pwfile}", "--auth=scram-sha-256",
                  "--encoding=UTF8", "--locale=C.UTF-8", *sync)
        os.unlink(pwfile)
        os.rename(work, self.data)
        self._write_settings(durable)

    def _write_settings(self, durable):
        path = os.path.join(self.data, "postgresql.auto.conf")
        lines = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.run_dir,
            "max_connections": 60, "shared_buffers": "32MB", "logging_collector": "off", "log_min_duration_statement": "1s",
            "fsync": "on" if durable else "off", "synchronous_commit": "on", "full_page_writes": "on" if durable else "off",
        }
        with open(path, "w") as out:
            os.fchown(out.fileno(), self.account.pw_uid, self.account.pw_gid)
            os.fchmod(out.fileno(), 0o600)
            for key, value in lines.items():
                out.write(f"{key} = '{value}'\n")

    def service(self, log):
        return {
            "name": "postgres", "argv": self.as_postgres(os.path.join(self.bin, "postgres"), "-D", self.data), "log": log,
            "ready": {"exec": [os.path.join(self.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres"]},
            "stop_signal": "INT", "stop_timeout_s": 20,
        }

    def psql_argv(self, *args):
        return [os.path.join(self.bin, "psql"), self.url, *args]

    def query(self, sql, database="postgres"):
        url = f"postgresql://{self.USER}@127.0.0.1:{self.port}/{database}"
        done = subprocess.run([os.path.join(self.bin, "psql"), url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql],
                              capture_output=True, text=True, env={**os.environ, "PGPASSWORD": self.password})
        if done.returncode != 0:
            raise PostgresError(done.stderr.strip())
        return done.stdout.strip()

    def ensure_database(self):
        """Needs the running server."""
        if self.query(f"SELECT 1 FROM pg_database WHERE datname = '{self.DATABASE}'") != "1":
            self.query(f"CREATE DATABASE {self.DATABASE}")
