"""What stands behind jobs.py: pgqueuer, in a schema of its own.

Apart from it, because a process that answers requests declares no job and runs none, and only
seldom puts one in: until it does, it need not hold the library.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
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
from server.kit.jobs import Handler, Jobs, Payload, Tick
from server.kit.problem import where

log = structlog.get_logger(__name__)

SETTINGS: Final = DBSettings(db_schema="jobs")
RETRY_S_MAX: Final = 60.0
RECONNECT_S: Final = 2.0
AT_ONCE_MAX: Final = 1_000
"""Jobs that a process has taken out of the queue; most of them wait for a connection."""
EVERY_MINUTE: Final = "* * * * *"
EVERY_DAY: Final = "41 21 * * *"
"""UTC: at night where the drivers are."""


def install_sql() -> str:
    return qb.QueryBuilderEnvironment(SETTINGS).build_install_query()


async def enqueue(conn: Connection, name: str, payload: Payload, *, dedupe_key: str) -> None:
    queries = _queries(AsyncpgDriver(cast("asyncpg.Connection", conn)))
    await queries.enqueue(
        name, json.dumps(dict(payload)).encode(), dedupe_key=dedupe_key, on_conflict="skip"
    )


async def run(dsn: str, jobs: Jobs) -> None:
    """Run jobs until cancelled, over one connection after another."""
    while True:
        try:
            conn = await db.connect(dsn, role=db.ROLE_JOBS)
            try:
                await _queue(conn, jobs).run(
                    dequeue_timeout=timedelta(seconds=5), max_concurrent_tasks=AT_ONCE_MAX
                )
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
            # Bounded before it is doubled: 2.0**1024 is no number.
            delay = min(2.0 ** min(job.attempts, 10), RETRY_S_MAX)
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
