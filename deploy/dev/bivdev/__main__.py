# SPDX-License-Identifier: Apache-2.0
"""python3 -m bivdev VERB --state DIR --ident ID [--domain D] ...: the half of ./dev that knows the running instance."""
import argparse
import os
import sys

from bivdev import status, up
from bivdev.instance import Instance
from bivdev.process_stream import ProcessStream


def run_command(inst, command):
    """One shell command in a new sandbox; its exit code is ours."""
    from bivdev.api import Api

    api = Api(inst.api_url, inst.facts["api_key"])
    made = api.call("POST", "/sandboxes", {"template": "base", "timeout": 600})
    try:
        with ProcessStream(made["session"]["data_plane_url"], made["session"]["access_token"], timeout_s=600) as process:
            process.start("bash", "-lc", command)
            while process.exit is None:
                frame = process.next()
                if frame["type"] in ("stdout", "stderr"):
                    out = sys.stdout if frame["type"] == "stdout" else sys.stderr
                    out.buffer.write(frame["bytes"])
                    out.flush()
        return process.exit["exit_code"] & 0xFF
    finally:
        api.call("DELETE", f"/sandboxes/{made['sandbox']['id']}")


def parse():
    """Options of the instance, then the verb, then what belongs to the verb (a command may hold options of its own)."""
    args = argparse.ArgumentParser(prog="bivdev")
    args.add_argument("--state", required=True)
    args.add_argument("--ident", required=True)
    args.add_argument("--domain", default="localhost")
    args.add_argument("verb", choices=("up", "down", "status", "run", "psql", "log-path"))
    args.add_argument("rest", nargs=argparse.REMAINDER)
    found = args.parse_args()
    flags = argparse.ArgumentParser(prog=f"./dev {found.verb}", usage=argparse.SUPPRESS)
    flags.set_defaults(build=None, env_file=None, purge=False, no_demo=False)
    if found.verb == "up":
        flags.add_argument("--build")
        flags.add_argument("--env-file")
        flags.add_argument("--no-demo", action="store_true")
    elif found.verb == "down":
        flags.add_argument("--purge", action="store_true")
    if found.verb in ("up", "down", "status"):
        flags.parse_args(found.rest, found)
    return found


def main():
    args = parse()
    inst = Instance(args.state, args.ident, args.domain, preferred_ports=True)
    if args.verb == "up":
        job = up.Up(inst, args.build, args.env_file)
        job.run()
        if not args.no_demo:
            job.demo()
        return 0
    if not os.path.exists(inst.facts_file):
        print("There is no instance yet. ./dev up makes it.")
        return 0 if args.verb == "down" else 1
    if args.verb == "down":
        up.down(inst, args.purge)
        return 0
    if args.verb == "status":
        return 0 if status.show(inst) else 1
    if args.verb == "run":
        return run_command(inst, " ".join(args.rest))
    if args.verb == "psql":
        argv = inst.postgres.psql_argv(*args.rest)
        os.execv(argv[0], argv)
    if args.verb == "log-path":
        print(inst.log(args.rest[0]) if args.rest else inst.path("log"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except up.ERRORS as error:
        up.fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
