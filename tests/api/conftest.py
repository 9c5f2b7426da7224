"""One served Jolda for all of these tests: they ask, and leave nothing behind that matters."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp import ClientSession

from tests.api.asking import Stage
from tests.api.others import others_of
from tests.api.people import people_of, second_company
from tests.running import demo


@pytest.fixture(scope="package")
async def stage(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("api")
    async with (
        # Some compare whole tables before and after a request.
        demo(server_dsn, folder, driving=False, speed=1.0, background=False) as served,
        ClientSession(served.url, auto_decompress=False) as http,
    ):
        ours = await people_of(served, served.company)
        theirs = await people_of(served, await second_company(served))
        another, erased = await others_of(served, served.company, ours)
        yield Stage(
            served=served, http=http, ours=ours, theirs=theirs, another=another, erased=erased
        )


@pytest.fixture
async def owner(stage: Stage) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await asyncpg.connect(stage.served.databases.main)
    yield conn
    await conn.close()
