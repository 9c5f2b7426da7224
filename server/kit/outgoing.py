"""Requests to other servers: JSON, encrypted, bounded in time and size, answers not believed."""

import email.utils
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic_core import to_json

CONNECT_S_MAX: Final = 3.0
HEADERS_BYTES_MAX: Final = 8 * 1024
READ_BYTES: Final = 64 * 1024
PRIVATE: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
"""RFC 1918 and RFC 4193: networks that nobody else routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An endpoint of another server, and what we prove ourselves with."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    status: int
    body: bytes = field(repr=False)


class Unreached(Exception):
    """There was no answer: no connection, no trust, or not HTTP."""


class AnswerTooSlow(Unreached):
    """There was no answer in time; whether the request arrived is unknown."""


class AnswerTooLarge(Unreached):
    """There was an answer, and more of it than was asked for."""


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is this machine: what goes there leaves no wire to listen on."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Tell whether ``host`` is an address of a network that is one's own."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE)


def is_safe_url(url: str, *, own_network: bool = False) -> bool:
    """Tell whether requests to ``url`` are encrypted, or stay on this machine.

    With ``own_network`` they may also go to a private address as they are.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    near = is_loopback(host) or (own_network and is_private(host))
    return parts.scheme == "https" or (parts.scheme == "http" and near)


async def post_json(
    to: Destination, body: object, *, idempotency_key: str, within_s: float, now: datetime
) -> Answer:
    """Send ``body``; return the status of the answer. Its body is not read.

    Redirects are not followed: the token and what is sent are for that server only. No proxy is
    taken from the environment, no cookie is kept, certificates are verified.

    Raises
    ------
    Unreached, AnswerTooSlow
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    if to.token is not None:
        headers["Authorization"] = f"Bearer {to.token}"
    async with (
        _session(within_s) as session,
        session.post(to.url, data=to_json(body), headers=headers, allow_redirects=False) as answer,
    ):
        wait = _retry_after(answer.headers.get("Retry-After"), now)
        return Answer(status=answer.status, retry_after=wait)


async def ask(url: str, body: object | None = None, *, within_s: float, bytes_max: int) -> Fetched:
    """GET ``url``, or POST ``body`` to it as JSON; return the answer with its body.

    As in :func:`post_json`, redirects are not followed.

    Raises
    ------
    Unreached, AnswerTooSlow, AnswerTooLarge
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    data = None if body is None else to_json(body)
    if data is not None:
        headers["Content-Type"] = "application/json"
    async with (
        _session(within_s) as session,
        session.request(
            "GET" if data is None else "POST",
            url,
            data=data,
            headers=headers,
            allow_redirects=False,
        ) as answer,
    ):
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Unreached  # not asked for: what it would unpack to has no bound
        read = bytearray()
        async for chunk in answer.content.iter_chunked(READ_BYTES):
            read += chunk
            if len(read) > bytes_max:
                raise AnswerTooLarge
        return Fetched(status=answer.status, body=bytes(read))


@asynccontextmanager
async def _session(within_s: float) -> AsyncGenerator[aiohttp.ClientSession]:
    """Open a session for one request, whose failures are ours."""
    timeout = aiohttp.ClientTimeout(total=within_s, connect=min(CONNECT_S_MAX, within_s))
    try:
        async with aiohttp.ClientSession(
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=HEADERS_BYTES_MAX,
            max_field_size=HEADERS_BYTES_MAX,
        ) as session:
            yield session
    # Their texts repeat the address: not chained.
    except TimeoutError:
        raise AnswerTooSlow from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise Unreached from None


def _retry_after(text: str | None, now: datetime) -> timedelta | None:
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 6:  # noqa: PLR2004 - eleven days
        return timedelta(seconds=int(text))
    try:
        return max(email.utils.parsedate_to_datetime(text) - now, timedelta())
    except (ValueError, TypeError):
        return None
