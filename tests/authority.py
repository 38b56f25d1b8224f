"""A certificate authority for tests, made with the openssl program: good, expired and locked certificates."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need

_CONFIG = """
[ca]
default_ca = test
[test]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; `ca` is what clients must trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.ca = folder / "ca.pem"
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "ca.cnf").write_text(_CONFIG.format(folder=folder))
        self._openssl("req", "-x509", *_EC, "-keyout", str(folder / "ca.key"), "-out", str(self.ca), "-days", "3",
                      "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def certificate(
        self,
        name: str = "good",
        hosts: str = "DNS:localhost,IP:127.0.0.1,IP:::1",
        *,
        expired: bool = False,
        rsa: bool = False,
    ) -> Certificate:
        """A server certificate for `hosts`, signed by this authority."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        self._openssl("req", *(_RSA if rsa else _EC), "-keyout", str(made.key), "-out", str(request), "-subj",
                      f"/CN={name}", "-addext", f"subjectAltName={hosts}",
                      "-addext", "extendedKeyUsage=serverAuth")  # fmt: skip
        times = ["-startdate", "200101000000Z", "-enddate", "200102000000Z"] if expired else ["-days", "2"]
        self._openssl("ca", "-batch", "-notext", "-config", str(self._folder / "ca.cnf"), "-in", str(request), "-out",
                      str(made.cert), *times)  # fmt: skip
        return made

    def self_signed(self, name: str = "alone") -> Certificate:
        """A certificate that vouches for itself."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self._openssl("req", "-x509", *_EC, "-keyout", str(made.key), "-out", str(made.cert), "-days", "2", "-subj",
                      f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")  # fmt: skip
        return made

    def locked(self, certificate: Certificate) -> Path:
        """The key of a certificate, behind a password."""
        path = certificate.key.with_suffix(".locked")
        self._openssl("pkey", "-in", str(certificate.key), "-aes256", "-passout", "pass:hush", "-out", str(path))
        return path

    @staticmethod
    def _openssl(*arguments: str) -> None:
        done = subprocess.run([need("openssl"), *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_RSA = ["-newkey", "rsa:2048", "-nodes"]
