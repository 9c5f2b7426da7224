"""Asking for a track as a file, on a client's or a socket of one's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from aiohttp import ClientPayloadError

from server.kit.wire import rfc3339
from tests.http import bearer
from tests.uploading import Api
from tests.world import NOW

FORMATS = ("csv", "geojson", "gpx")


def path(api: Api, began: datetime, media: str) -> str:
    span = f"from={rfc3339(began)}&to={rfc3339(NOW + timedelta(minutes=1))}"
    return f"/v1/drivers/{api.world.driver.member_id}/track?{span}&format={media}"


async def read(api: Api, token: str, began: datetime, media: str) -> tuple[bytes, dict[str, str]]:
    async with api.client.get(path(api, began, media), headers=bearer(token)) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return body, dict(answer.headers)


async def take(
    api: Api, token: str, began: datetime, media: str, *, first: asyncio.Event
) -> tuple[bytes, bool]:
    """Read to the end; return what came and whether it was whole."""
    body = b""
    try:
        async with api.client.get(path(api, began, media), headers=bearer(token)) as answer:
            assert answer.status == 200
            async for chunk in answer.content.iter_any():
                body += chunk
                first.set()
    except ClientPayloadError:
        return body, False
    return body, True


@asynccontextmanager
async def asked_on_a_socket(
    api: Api, began: datetime, *, version: str = "1.1", media: str = "csv"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    token = await api.world.session("dispatcher")
    reader, writer = await asyncio.open_connection(api.address.host, api.address.port)
    try:
        writer.write(
            f"GET {path(api, began, media)} HTTP/{version}\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        yield reader, writer
    finally:
        writer.close()
