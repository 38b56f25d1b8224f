"""TLS: contexts for our listeners and our clients, certificates that change while the server runs, errors in words.

TLS 1.2 and later with the cipher suites of OpenSSL's defaults. RTMPS, HTTPS and WSS share one server context.
"""

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evotools.errors import UnreachableError, UsageError
from evotools.log import get_logger

log = get_logger("tls")

HANDSHAKE_TIMEOUT_S = 10.0
"""For either side. A phone on a bad line needs two seconds; whoever needs ten holds a connection for nothing."""
MAX_PEM_BYTES = 1 << 20
"""Of one certificate or key file. A chain of ten certificates has 20 KiB."""
_ALPN = ["http/1.1"]
"""RTMPS clients offer none, and a client that offers only others goes on without."""
_VERIFY_HINT = "ca_file= or SSL_CERT_FILE names a file of trusted certificates, tls_verify=0 takes any"

# X509_V_ERR_… of OpenSSL's x509_vfy.h, which the ssl module reports as `verify_code`.
_CAUSES = {
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: "the server's certificate is self-signed",
    19: "the server's certificate comes from an authority that is not trusted here",
    20: "the server's certificate comes from an authority that is not trusted here",
    21: "the server's certificate comes from an authority that is not trusted here",
    62: "the server's certificate is for another host",
    64: "the server's certificate is for another address",
}


def server_context(cert: str, key: str = "") -> ssl.SSLContext:
    """A context for listeners from PEM files; without `key` the key is in the file of the certificate.

    The file of the certificate holds the server's own first, then the authorities between. Raises UsageError that
    names the file; warns about a certificate that has expired or is not valid yet.
    """
    context = _plain_server_context()
    text = _read(cert, "cert")
    if key:
        _read(key, "key")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"tls.cert: {cert} holds no certificate", hint="PEM begins with -----BEGIN CERTIFICATE-----")
    if not key and "PRIVATE KEY-----" not in text:
        raise UsageError(f"tls.key: {cert} holds no private key", hint="tls.key names the file that does")
    try:
        context.load_cert_chain(cert, key or None, password=_no_password(key or cert))
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
            raise UsageError(f"tls.key: {key or cert} is not the key of the certificate in {cert}") from None
        raise UsageError(
            f"tls.key: {key or cert} and {cert} cannot be used ({error.reason or 'no PEM'})",
            hint="the key is a PEM file without a password, the certificate its PEM chain",
        ) from None
    _warn(cert, text)
    return context


def _plain_server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # RFC 8446 4.6.1 leaves tickets to the server, and in TLS 1.3 they save no round trip.
    # librtmp over GnuTLS (Debian's rtmpdump, GStreamer's rtmpsrc) takes one for a broken handshake.
    context.num_tickets = 0
    context.set_alpn_protocols(_ALPN)
    return context


def client_context(verify: bool, ca_file: str = "") -> ssl.SSLContext:
    """A context for connections that we make.

    With `verify` the server's certificate must be valid for the host and come from an authority in `ca_file`, or
    else of the system (SSL_CERT_FILE and SSL_CERT_DIR included). Raises UsageError where there are no authorities.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    ca_file = ca_file or os.environ.get("SSL_CERT_FILE", "") or system_ca_file()
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        cause = "holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f"the file of trusted certificates {ca_file}: {cause}") from None
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        raise UsageError(
            "this system has no file of trusted certificates",
            hint="install ca-certificates, name a file with ca_file=, or add tls_verify=0",
        )
    return context


def system_ca_file() -> str:
    """The system's file of trusted certificates (SSL_CERT_FILE wins), or empty when there is none."""
    paths = ssl.get_default_verify_paths()
    for path in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
                 "/etc/pki/tls/certs/ca-bundle.crt"):  # fmt: skip
        if path and Path(path).is_file():
            return path
    return ""


def explain_tls(where: str, error: OSError) -> UnreachableError | None:
    """An UnreachableError for a failed TLS handshake; None when `error` has another cause. `where` is redacted."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _CAUSES.get(error.verify_code) or f"the server's certificate is not accepted: {error.verify_message}"
        return UnreachableError(f"{where}: {cause}", hint=_VERIFY_HINT)
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
            return UnreachableError(f"{where}: the server does not speak TLS on this port")
        return UnreachableError(f"{where}: TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}")
    return None


class ServerTls:
    """The certificate of a server: `context` is for listeners and stays the same while `replace` changes it.

    Connections that exist keep what they began with; the next handshake uses the new certificate.
    """

    def __init__(self, cert: str, key: str = "") -> None:
        """Raises UsageError."""
        self._current = server_context(cert, key)
        # Loading a second certificate into a context would keep the first one where it is of another kind (RSA
        # beside ECDSA), so that each handshake is handed to the context in force.
        self.context = _plain_server_context()
        self.context.sni_callback = self._choose

    def replace(self, cert: str, key: str = "") -> None:
        """Use these files, read now. Raises UsageError and changes nothing when they cannot be used."""
        self._current = server_context(cert, key)

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def validity(der: bytes) -> tuple[datetime, datetime]:
    """First and last moment of a certificate's validity (RFC 5280 4.1.2.5). Raises ValueError for broken DER."""
    _, body, _ = _element(der, 0)
    _, to_be_signed, _ = _element(der, body)
    tag, _, after = _element(der, to_be_signed)
    if tag == 0xA0:  # [0] version; the serial number follows.
        _, _, after = _element(der, after)
    for _ in range(2):  # signature, issuer
        _, _, after = _element(der, after)
    _, first, _ = _element(der, after)
    times = []
    for _ in range(2):
        tag, start, first = _element(der, first)
        times.append(_time(tag, der[start:first]))
    return times[0], times[1]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, beginning of the content and end of the element at `at` (X.690 8.1)."""
    if at + 2 > len(der):
        raise ValueError("DER ends early")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    if start + length > len(der):
        raise ValueError("DER ends early")
    return tag, start, start + length


def _time(tag: int, text: bytes) -> datetime:
    # RFC 5280 4.1.2.5.1: UTCTime (23) has two digits of the year, 50 and later mean 19xx.
    digits = text.decode("ascii")
    if tag == 23:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _warn(cert: str, text: str) -> None:
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.find("-----END CERTIFICATE-----", begin)
    try:
        first, last = validity(ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----"))
    except ValueError:
        return  # OpenSSL took it; only the dates are not understood here.
    now = datetime.now(UTC)
    if now > last:
        log.warning("tls.cert: the certificate in %s has expired on %s; clients will refuse it", cert,
                    last.date().isoformat())  # fmt: skip
    elif now < first:
        log.warning("tls.cert: the certificate in %s is not valid before %s", cert, first.date().isoformat())


def _read(path: str, what: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_PEM_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(f"tls.{what}: {path}: {error.strerror}") from None


def _no_password(path: str) -> Callable[[], str]:
    def ask() -> str:
        # OpenSSL would ask on the terminal and wait.
        raise UsageError(f"tls.key: the key in {path} has a password", hint="openssl pkey -in KEY -out PLAIN")

    return ask
