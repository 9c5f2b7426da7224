"""Requests of members about what they were told."""

from typing import Any

from aiohttp import ClientSession

from tests.http import bearer
from tests.notices.stage import Reader


async def get(client: ClientSession, reader: Reader, path: str) -> Any:
    async with client.get(path, headers=bearer(reader.session)) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        return await answer.json()


async def status_of(client: ClientSession, reader: Reader, method: str, path: str) -> int:
    async with client.request(method, path, headers=bearer(reader.session)) as answer:
        return answer.status
