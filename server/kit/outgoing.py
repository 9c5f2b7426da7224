"""Requests to other servers: JSON by POST, encrypted, bounded in time, answers not believed."""

import email.utils
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic_core import to_json

CONNECT_S_MAX: Final = 3.0
HEADERS_BYTES_MAX: Final = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An endpoint of another server, and what we prove ourselves with."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    retry_after: timedelta | None = None


class Unreached(Exception):
    """There was no answer: no connection, no trust, or not HTTP."""


class AnswerTooSlow(Unreached):
    """There was no answer in time; whether the request arrived is unknown."""


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is this machine: what goes there leaves no wire to listen on."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_url(url: str) -> bool:
    """Tell whether requests to ``url`` are encrypted, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


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
    timeout = aiohttp.ClientTimeout(total=within_s, connect=min(CONNECT_S_MAX, within_s))
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=HEADERS_BYTES_MAX,
                max_field_size=HEADERS_BYTES_MAX,
            ) as session,
            session.post(
                to.url, data=to_json(body), headers=headers, allow_redirects=False
            ) as answer,
        ):
            wait = _retry_after(answer.headers.get("Retry-After"), now)
            return Answer(status=answer.status, retry_after=wait)
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
