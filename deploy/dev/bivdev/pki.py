# SPDX-License-Identifier: Apache-2.0
"""pki - a private CA, certificates of control and host, and the keys that sign sessions. Made once with the openssl program."""
import os
import subprocess
import tempfile

DAYS = "3650"


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.strip()}")
    return done.stdout


def make_key(path):
    """A P-256 private key in PKCS#8 PEM, readable by root only until it is given away."""
    if os.path.exists(path):
        return
    pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(pem)


def make_public(private_path, path):
    if not os.path.exists(path):
        with open(path, "w") as out:
            out.write(openssl("pkey", "-in", private_path, "-pubout"))


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.cert = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")

    def ensure(self, name):
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        make_key(self.key)
        if not os.path.exists(self.cert):
            openssl("req", "-x509", "-new", "-key", self.key, "-sha256", "-days", DAYS, "-subj", f"/CN={name}",
                    "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                    "-out", self.cert)

    def issue(self, common_name, cert, key, names=("localhost",), addresses=("127.0.0.1", "::1")):
        """A certificate for both ends of a TLS connection: our daemons are clients and servers of each other."""
        if os.path.exists(cert):
            return
        make_key(key)
        request = openssl("req", "-new", "-key", key, "-subj", f"/CN={common_name}")
        alternatives = ",".join([f"DNS:{n}" for n in (common_name, *names)] + [f"IP:{a}" for a in addresses])
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as extensions:
            extensions.write(
                f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\n"
                "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
            extensions.flush()
            pem = openssl("x509", "-req", "-CA", self.cert, "-CAkey", self.key, "-days", DAYS, "-sha256",
                          "-extfile", extensions.name, stdin=request)
        with open(cert + ".new", "w") as out:
            out.write(pem)
        os.replace(cert + ".new", cert)
