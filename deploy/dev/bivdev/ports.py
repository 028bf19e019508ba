# SPDX-License-Identifier: Apache-2.0
"""ports - finds loopback ports that are free on 127.0.0.1 and, where there is one, ::1."""
import random
import socket

# below the kernel's range for outgoing connections, so that none of those takes a remembered port
FIRST, LAST = 20000, 31999


def have_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def is_free(port):
    families = [(socket.AF_INET, "127.0.0.1")] + ([(socket.AF_INET6, "::1")] if have_ipv6() else [])
    for family, host in families:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def pick(taken=(), preferred=None):
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(2000):
        port = random.randint(FIRST, LAST)
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free loopback port between {FIRST} and {LAST}")


def listen(port):
    """The listen list of a daemon: both loopback addresses, because *.localhost resolves to ::1 first."""
    return f"127.0.0.1:{port} [::1]:{port}" if have_ipv6() else f"127.0.0.1:{port}"
