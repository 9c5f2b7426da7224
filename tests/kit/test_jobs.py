import asyncio
from collections.abc import Mapping
from typing import TypeAlias

import asyncpg
import pytest

from server.kit import db, jobs
from server.kit.db import Pool
from server.kit.jobs import Jobs
from tests.conftest import Databases
from tests.world import World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def no_jobs(owner: Owner) -> None:
    await owner.execute("DELETE FROM jobs.pgqueuer; DELETE FROM jobs.pgqueuer_schedules")


@pytest.mark.usefixtures("no_jobs")
async def test_a_job_runs_once_its_transaction_commits(
    world: World, databases: Databases, app_pool: Pool
) -> None:
    done: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    handlers = Jobs(queued={"greet": done.put}, every_minute={})

    async with jobs.running(databases.main, handlers):
        async with db.tenant(app_pool, world.company_id) as conn:
            for _ in range(2):
                await jobs.enqueue(conn, "greet", {"id": "1"}, dedupe_key="greet 1")
            await asyncio.sleep(0.3)
            assert done.empty()
        payload = await asyncio.wait_for(done.get(), 10)

    assert payload == {"id": "1"}
    assert done.empty()


@pytest.mark.usefixtures("no_jobs")
async def test_a_failed_job_is_tried_again_and_leaves_no_text_behind(
    world: World, databases: Databases, app_pool: Pool, owner: Owner
) -> None:
    tries = 0
    done = asyncio.Event()

    async def fails_once(_payload: Mapping[str, str]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            message = "canary-51.5074"
            raise ValueError(message)
        done.set()

    async with jobs.running(databases.main, Jobs(queued={"twice": fails_once}, every_minute={})):
        async with db.tenant(app_pool, world.company_id) as conn:
            await jobs.enqueue(conn, "twice", {}, dedupe_key="twice")
        await asyncio.wait_for(done.wait(), 20)

    kept = await owner.fetch("SELECT l::text AS line FROM jobs.pgqueuer_log l")
    assert kept
    assert not any("canary" in row["line"] for row in kept)


@pytest.mark.usefixtures("no_jobs")
async def test_a_job_waits_for_its_next_try_however_often_it_failed(
    world: World, databases: Databases, app_pool: Pool, owner: Owner
) -> None:
    """Seventeen hours at a minute each: by then 2.0 to that power is no number."""
    tried = asyncio.Event()

    async def fails(_payload: Mapping[str, str]) -> None:
        tried.set()
        raise OSError

    async with db.tenant(app_pool, world.company_id) as conn:
        await jobs.enqueue(conn, "failing", {}, dedupe_key="failing")
    await owner.execute("UPDATE jobs.pgqueuer SET attempts = 1100")

    async with jobs.running(databases.main, Jobs(queued={"failing": fails}, every_minute={})):
        await asyncio.wait_for(tried.wait(), 10)
        await asyncio.sleep(1)

    rows = await owner.fetch("SELECT status::text, attempts FROM jobs.pgqueuer")
    assert [tuple(row) for row in rows] == [("queued", 1101)]


@pytest.mark.usefixtures("no_jobs")
async def test_jobs_go_on_after_their_connection_was_cut(
    world: World, databases: Databases, app_pool: Pool, owner: Owner
) -> None:
    done: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async with jobs.running(databases.main, Jobs(queued={"later": done.put}, every_minute={})):
        await asyncio.sleep(0.5)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'jolda_jobs'"
        )
        async with db.tenant(app_pool, world.company_id) as conn:
            await jobs.enqueue(conn, "later", {"id": "2"}, dedupe_key="later")
        payload = await asyncio.wait_for(done.get(), 20)

    assert payload == {"id": "2"}
