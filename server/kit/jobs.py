"""Jobs: what can be put in, and running them. At least once, so every handler is idempotent.

A job is enqueued in the transaction that makes it due. Payloads hold ids only.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from server.kit.db import Connection
from server.kit.tasks import ended

Payload = Mapping[str, str]
Handler = Callable[[Payload], Awaitable[None]]
Tick = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What this process can do: queued jobs by name, and ticks that run every minute or day."""

    queued: Mapping[str, Handler]
    every_minute: Mapping[str, Tick]
    every_day: Mapping[str, Tick] = field(default_factory=dict)


# The queue's library takes 5 MB: imported by what uses it, when it does.


def install_sql() -> str:
    """Return the queue's own DDL, for the migration."""
    from server.kit import job_queue  # noqa: PLC0415

    return job_queue.install_sql()


async def enqueue(conn: Connection, name: str, payload: Payload, *, dedupe_key: str) -> None:
    """Put a job in; it runs once this transaction commits. The same key waits only once."""
    from server.kit import job_queue  # noqa: PLC0415

    await job_queue.enqueue(conn, name, payload, dedupe_key=dedupe_key)


@asynccontextmanager
async def running(dsn: str, jobs: Jobs) -> AsyncGenerator[None]:
    """Run jobs beside whatever the block does, over a connection of the jobs' own role."""
    from server.kit import job_queue  # noqa: PLC0415

    task = asyncio.create_task(job_queue.run(dsn, jobs))
    try:
        yield
    finally:
        await ended(task)
