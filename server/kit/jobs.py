"""Jobs: pgqueuer in a schema of its own. At least once, so every handler is idempotent.

A job is enqueued in the transaction that makes it due. Payloads hold ids only.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast

import asyncpg
import structlog
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries, RetryRequested
from pgqueuer.adapters.persistence import qb
from pgqueuer.domain.settings import DBSettings
from pgqueuer.models import Schedule
from pgqueuer.ports.driver import Driver

from server.kit import db
from server.kit.db import Connection
from server.kit.problem import where

log = structlog.get_logger(__name__)

SETTINGS: Final = DBSettings(db_schema="jobs")
RETRY_S_MAX: Final = 60.0
RECONNECT_S: Final = 2.0
EVERY_MINUTE: Final = "* * * * *"
EVERY_DAY: Final = "41 21 * * *"
"""UTC: at night where the drivers are."""

Payload = Mapping[str, str]
Handler = Callable[[Payload], Awaitable[None]]
Tick = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What this process can do: queued jobs by name, and ticks that run every minute or day."""

    queued: Mapping[str, Handler]
    every_minute: Mapping[str, Tick]
    every_day: Mapping[str, Tick] = field(default_factory=dict)


def install_sql() -> str:
    """Return the queue's own DDL, for the migration."""
    return qb.QueryBuilderEnvironment(SETTINGS).build_install_query()


async def enqueue(conn: Connection, name: str, payload: Payload, *, dedupe_key: str) -> None:
    """Put a job in; it runs once this transaction commits. The same key waits only once."""
    queries = _queries(AsyncpgDriver(cast("asyncpg.Connection", conn)))
    await queries.enqueue(
        name, json.dumps(dict(payload)).encode(), dedupe_key=dedupe_key, on_conflict="skip"
    )


@asynccontextmanager
async def running(dsn: str, jobs: Jobs) -> AsyncGenerator[None]:
    """Run jobs beside whatever the block does, over a connection of the jobs' own role."""
    task = asyncio.create_task(_supervise(dsn, jobs))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _supervise(dsn: str, jobs: Jobs) -> None:
    while True:
        try:
            conn = await db.connect(dsn, role=db.ROLE_JOBS)
            try:
                await _queue(conn, jobs).run(dequeue_timeout=timedelta(seconds=5))
            finally:
                conn.terminate()
        except Exception as error:  # noqa: BLE001 - the database went away: jobs wait, then go on
            log.warning("jobs_interrupted", **where(error))
        await asyncio.sleep(RECONNECT_S)


def _queue(conn: "asyncpg.Connection[asyncpg.Record]", jobs: Jobs) -> PgQueuer:
    driver = AsyncpgDriver(conn)
    queue = PgQueuer(driver, queries=_queries(driver))
    for name, handler in jobs.queued.items():
        queue.entrypoint(name, on_failure="hold")(_retrying(name, handler))
    for when, ticks in ((EVERY_MINUTE, jobs.every_minute), (EVERY_DAY, jobs.every_day)):
        for name, tick in ticks.items():
            queue.schedule(name, when)(_logged(name, tick))
    return queue


def _retrying(name: str, handler: Handler) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        try:
            await handler(json.loads(job.payload or b"{}"))
        except Exception as error:  # noqa: BLE001 - whatever it was, the job is tried again
            log.warning("job_failed", job=name, attempt=job.attempts, **where(error))
            delay = min(2.0**job.attempts, RETRY_S_MAX)
            # Not chained: the queue stores tracebacks, and an error's text may hold personal data.
            raise RetryRequested(delay=timedelta(seconds=delay), reason=name) from None

    return run


def _logged(name: str, tick: Tick) -> Callable[[Schedule], Awaitable[None]]:
    async def run(_schedule: Schedule) -> None:
        try:
            await tick()
        except Exception as error:  # noqa: BLE001 - the next time tries again
            log.warning("job_failed", job=name, **where(error))

    return run


def _queries(driver: Driver) -> Queries:
    return Queries(
        driver,
        qbe=qb.QueryBuilderEnvironment(SETTINGS),
        qbq=qb.QueryQueueBuilder(SETTINGS),
        qbs=qb.QuerySchedulerBuilder(SETTINGS),
    )
