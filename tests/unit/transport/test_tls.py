"""TLS contexts, certificates that change under a running server, and a port whose silent strangers are counted."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evotools.errors import UnreachableError, UsageError
from evotools.transport.tls import ServerTls, client_context, explain_tls, server_context, validity
from evotools.transport.tls_listen import TlsServer
from tests.authority import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.certificate()


class Hello(asyncio.Protocol):
    """Says one letter and waits."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"x")


@asynccontextmanager
async def listening(context: ssl.SSLContext, **options: Any) -> AsyncIterator[TlsServer]:
    server = TlsServer(Hello, context, **options)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        server.close()
        await asyncio.sleep(0.01)


async def handshake(port: int, context: ssl.SSLContext, host: str = "localhost") -> Any:
    """Greets, hears the letter, and gives the connection's TLS object."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        assert await reader.readexactly(1) == b"x"
        found = writer.get_extra_info("ssl_object")
        writer.close()
        return found


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.005)


# Files.


def test_errors_name_the_file_and_what_is_wrong_with_it(
    authority: Authority, good: Certificate, tmp_path: Path
) -> None:
    other = authority.certificate("other")
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    locked = authority.locked(good)
    for cert, key, words in [
        (tmp_path / "none.pem", good.key, "tls.cert: .*none.pem: No such file"),
        (good.cert, tmp_path / "none.key", "tls.key: .*none.key: No such file"),
        (good.cert, other.key, "tls.key: .*other.key is not the key of the certificate in .*good.pem"),
        (good.cert, authority.certificate("rsakey", rsa=True).key, "rsakey.key is not the key of the certificate in"),
        (good.cert, text, "tls.key: .*notes.txt and .*good.pem cannot be used"),
        (text, good.key, "notes.txt holds no certificate"),
        (broken, good.key, "cannot be used"),
        (good.cert, locked, "locked has a password"),
        (good.cert, "", "good.pem holds no private key"),
    ]:
        with pytest.raises(UsageError, match=words):
            server_context(str(cert), str(key))


def test_one_file_may_hold_both(good: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(good.cert.read_text() + good.key.read_text())
    assert server_context(str(both)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_an_expired_certificate_is_a_warning(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    expired = authority.certificate("old", expired=True)
    with caplog.at_level(logging.WARNING):
        server_context(str(expired.cert), str(expired.key))
    assert "old.pem has expired on 2020-01-02" in caplog.text


def test_validity_is_read_from_any_bytes_or_refused(good: Certificate) -> None:
    der = ssl.PEM_cert_to_DER_cert(good.cert.read_text()[good.cert.read_text().index("-----BEGIN") :])
    first, last = validity(der)
    assert 1.9 < (last - first).total_seconds() / 86400 < 2.1
    for cut in range(len(der)):
        with pytest.raises(ValueError, match="DER ends early"):
            validity(der[:cut])


# Clients.


async def test_what_is_wrong_with_a_server_is_said_in_words(authority: Authority, good: Certificate) -> None:
    trusting = client_context(True, str(authority.ca))
    cases = [
        (authority.certificate("expired", expired=True), "localhost", "has expired"),
        (good, "elsewhere.example", "is for another host"),
        (good, "127.0.0.2", "is for another address"),
        (authority.self_signed(), "localhost", "is self-signed"),
    ]
    for certificate, host, words in cases:
        async with listening(server_context(str(certificate.cert), str(certificate.key))) as server:
            with pytest.raises(OSError) as caught:
                await handshake(server.port, trusting, host)
            said = explain_tls("rtmps://h", caught.value)
            assert isinstance(said, UnreachableError)
            assert words in said.message
            assert "tls_verify=0" in said.hint
            await handshake(server.port, client_context(False), host)
            assert server.failed == 1


async def test_unknown_authorities_and_ports_without_tls(
    authority: Authority, good: Certificate, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    async with listening(server_context(str(good.cert), str(good.key))) as server:
        with pytest.raises(OSError) as caught:
            await handshake(server.port, client_context(True, str(stranger.ca)))
        said = explain_tls("x", caught.value)
        assert said is not None
        assert "authority that is not trusted here" in said.message
    plain = await asyncio.start_server(lambda r, w: w.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "127.0.0.1", 0)
    with pytest.raises(OSError) as caught:
        await handshake(plain.sockets[0].getsockname()[1], client_context(False))
    plain.close()
    said = explain_tls("x", caught.value)
    assert said is not None
    assert "does not speak TLS" in said.message
    assert explain_tls("x", ConnectionRefusedError()) is None


def test_trusted_authorities_come_from_the_environment(
    authority: Authority, good: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    assert client_context(True).cert_store_stats()["x509_ca"] == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="none: No such file"):
        client_context(True)
    with pytest.raises(UsageError, match=r"good.key: holds no certificates"):
        client_context(True, str(good.key))


# Certificates that change.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_new_certificate_is_for_new_connections(
    authority: Authority, good: Certificate, version: ssl.TLSVersion, host: str
) -> None:
    """Of another kind of key too, and for clients that name no host (an address is none)."""
    other = authority.certificate("rsa", rsa=True)
    tls = ServerTls(str(good.cert), str(good.key))
    context = client_context(True, str(authority.ca))
    context.maximum_version = context.minimum_version = version
    names = []
    async with listening(tls.context) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=host)
        for certificate in (good, other, good):
            tls.replace(str(certificate.cert), str(certificate.key))
            found = await handshake(server.port, context, host)
            names.append(dict(field[0] for field in found.getpeercert()["subject"])["commonName"])
        with pytest.raises(UsageError):
            tls.replace(str(good.cert), str(other.key))
        await handshake(server.port, context, host)
        assert names == ["good", "rsa", "good"]
        # The first connection has lived through all of it.
        assert await reader.readexactly(1) == b"x"
        writer.close()


async def test_old_versions_are_refused_and_http_1_is_agreed_upon(good: Certificate) -> None:
    async with listening(ServerTls(str(good.cert), str(good.key)).context) as server:
        context = client_context(False)
        context.set_alpn_protocols(["h2", "http/1.1"])
        assert (await handshake(server.port, context)).selected_alpn_protocol() == "http/1.1"
        context = client_context(False)
        context.set_alpn_protocols(["h2"])
        assert (await handshake(server.port, context)).selected_alpn_protocol() is None
        old = client_context(False)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.raises(OSError):
            await handshake(server.port, old)


# The port.


async def test_strangers_that_say_nothing_are_few_and_soon_gone(good: Certificate) -> None:
    context = server_context(str(good.cert), str(good.key))
    async with listening(context, max_per_peer=3, timeout_s=0.3) as server:
        peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        await until(lambda: server.refused == 2)
        assert server.handshakes == 3
        async with asyncio.timeout(5):
            # Two at once, three when their time is over.
            for reader, _ in peers:
                try:
                    assert await reader.read() == b""
                except ConnectionError:
                    pass
        await until(lambda: server.handshakes == 0)
        assert server.failed == 3
        await handshake(server.port, client_context(False))
        for _, writer in peers:
            writer.close()


async def test_handshakes_of_all_together_are_few(good: Certificate) -> None:
    context = server_context(str(good.cert), str(good.key))
    async with listening(context, max_handshakes=2) as server:
        peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        await until(lambda: server.refused == 2)
        assert server.handshakes == 2
        for _, writer in peers:
            writer.close()


async def test_one_byte_now_and_then_does_not_hold_a_handshake_open(good: Certificate) -> None:
    context = server_context(str(good.cert), str(good.key))
    async with listening(context, timeout_s=0.4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        hello = iter(b"\x16\x03\x01\x02\x00" + bytes(500))
        async with asyncio.timeout(5):
            while not reader.at_eof():
                writer.write(bytes([next(hello)]))
                try:
                    await asyncio.wait_for(reader.read(1), 0.05)
                except TimeoutError:
                    pass
                except ConnectionError:
                    break
        await until(lambda: server.handshakes == 0)
        assert server.failed == 1
        writer.close()


async def test_closing_drops_handshakes_and_keeps_connections(good: Certificate) -> None:
    context = server_context(str(good.cert), str(good.key))
    async with listening(context) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(False), server_hostname="localhost"
        )
        assert await reader.readexactly(1) == b"x"
        stranger, silent = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: server.handshakes == 1)
        port = server.port
        server.close()
        async with asyncio.timeout(5):
            try:
                assert await stranger.read() == b""
            except ConnectionError:
                pass
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not reader.at_eof()
        writer.close()
        silent.close()


async def test_both_families_on_one_free_port(good: Certificate) -> None:
    server = TlsServer(Hello, server_context(str(good.cert), str(good.key)))
    await server.start("", 0)
    for host in ("127.0.0.1", "::1"):
        reader, writer = await asyncio.open_connection(
            host, server.port, ssl=client_context(False), server_hostname="localhost"
        )
        assert await reader.readexactly(1) == b"x"
        writer.close()
    taken = TlsServer(Hello, server_context(str(good.cert), str(good.key)))
    with pytest.raises(OSError):
        await taken.start("127.0.0.1", server.port)
    server.close()
    await asyncio.sleep(0.01)
