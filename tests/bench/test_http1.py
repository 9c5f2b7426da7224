"""The generator's own HTTP: whole answers, however they come."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.http1 import Caller, Origin

BODY = b'{"accepted":1,"duplicate":0,"refused":[]}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n%b\r\n%x;name=value\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers on one connection until that ends."""


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Origin]:
    handling: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.ensure_future(_handle(handler, reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield Origin(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        await asyncio.gather(*handling)


async def _handle(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await handler(reader, writer)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED], ids=["plain", "chunked"])
@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_an_answer_is_whole_in_however_many_pieces_it_comes(
    answer: bytes, piece: int
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for start in range(0, len(answer), piece):
                writer.write(answer[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)

    async with serving(handler) as origin:
        caller = await Caller.connected(origin)
        found = [await caller.ask("GET", "/", "token") for _ in range(2)]
        caller.close()

    assert [(one.status, one.body) for one in found] == [(200, BODY)] * 2


async def test_what_is_no_http_ends_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"220 smtp.example ready\r\n\r\n")

    async with serving(handler) as origin:
        caller = await Caller.connected(origin)
        with pytest.raises(ConnectionError):
            await caller.ask("GET", "/", "token")


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("https://jolda.example/", "jolda.example", 443, "jolda.example"),
        ("http://[::1]:80", "::1", 80, "[::1]"),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(
    url: str, host: str, port: int, authority: str
) -> None:
    origin = Origin.of(url)

    assert (origin.host, origin.port, origin.authority) == (host, port, authority)
    assert (origin.tls is not None) == url.startswith("https")


@pytest.mark.parametrize(
    "url", ["ftp://host", "127.0.0.1:8080", "http://host/v1", "http://user@host", "http://host?a=1"]
)
def test_anything_else_is_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Origin.of(url)


async def test_a_server_whose_certificate_nobody_vouches_for_is_not_spoken_to(
    tmp_path: Path,
) -> None:
    served, vouched = certificate(tmp_path)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(PLAIN)
        await writer.drain()

    async with serving(handler, tls=served) as origin:
        caller = await Caller.connected(replace(origin, tls=vouched))
        answer = await caller.ask("GET", "/", "token")
        caller.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await Caller.connected(replace(origin, tls=ssl.create_default_context()))

    assert (answer.status, answer.body) == (200, BODY)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server on 127.0.0.1 shows, and a client who trusts that."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    written = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "both.pem"
    file.write_bytes(written + pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    return served, ssl.create_default_context(cadata=pem.decode())
