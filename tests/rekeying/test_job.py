"""What the job of each minute says in the log when the keys cannot be exchanged just now."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
from structlog.testing import capture_logs

from server import background, settings
from server.background import jobs_of
from server.databases import Opened
from server.kit.jobs import Tick
from tests.conftest import Databases
from tests.http import Clock
from tests.world import NOW, World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def tick(opened: Opened) -> Tick:
    return jobs_of(opened, settings.read({}), Clock()).every_minute["rekey"]


@pytest.fixture
async def holding(world: World, databases: Databases) -> AsyncIterator[Owner]:
    """Somebody was erased, so an exchange is due, and somebody is just making a key."""
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    conn = await asyncpg.connect(databases.keys)
    await conn.execute("SELECT pg_advisory_lock_shared(7242003)")
    yield conn
    await conn.close()


async def test_keys_that_somebody_holds_for_a_moment_are_no_failure(
    tick: Tick, holding: Owner, keys_owner: Owner
) -> None:
    with capture_logs() as logs:
        await tick()
        await holding.execute("SELECT pg_advisory_unlock_shared(7242003)")
        await tick()

    assert logs == []
    assert await keys_owner.fetchval("SELECT count(*) FROM rekeying") == 1


@pytest.mark.usefixtures("holding")
async def test_keys_that_somebody_holds_on_and_on_are(
    tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "HELD_MAX", 3)

    with capture_logs() as logs:
        for _ in range(4):
            await tick()

    (line,) = logs
    assert (line["event"], line["job"], line["count"]) == ("job_failed", "rekey", 3)
    assert line["error"] == "KeysHeld"
