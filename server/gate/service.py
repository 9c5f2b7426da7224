"""Opening, closing and reading the gate. Closing is certain: when it returned, nothing commits.

Every act that stops recording goes through :func:`stopping`; every frame that leaves goes out
inside :func:`frames`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from server.gate import store
from server.gate.model import USUAL_REACH, Gate, GateItem, GateMissing, Reach, Windows
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7

log = structlog.get_logger(__name__)

FRAME_LEASE_MS: Final = 500
"""How long an act that closes a gate waits for processes that are sending frames."""
FRAME_MARGIN_MS: Final = 100
"""They end this much earlier by themselves: a cancellation takes a moment to arrive."""
CLOSING_S_MAX: Final = 60
"""An act that has not finished by then died with its process; it was never acknowledged."""


async def create(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Make the gate of a new driver, closed."""
    await store.insert(conn, company_id, driver_id)


async def read(conn: Connection, company_id: UUID, driver_id: UUID) -> Gate:
    """Return the gate.

    Raises
    ------
    GateMissing
        There is no such driver in this company.
    """
    return there(await store.read(conn, company_id, driver_id), GateMissing)


async def read_all(conn: Connection, company_id: UUID) -> list[Gate]:
    return await store.read_all(conn, company_id)


async def read_some(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Gate]:
    """Return the gates of those of these drivers whom the company has."""
    return await store.read_some(conn, company_id, driver_ids)


screen_epochs = store.screen_epochs


async def lock(conn: Connection, company_id: UUID, driver_id: UUID) -> Gate:
    """Return the gate, locked until the transaction ends: changes of one driver queue here.

    Raises
    ------
    GateMissing
    """
    if not await store.lock(conn, company_id, driver_id):
        raise GateMissing
    return await read(conn, company_id, driver_id)


async def set_consent(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: GateItem,
    since: datetime | None,
    *,
    reach: Reach = USUAL_REACH,
    until: datetime | None = None,
) -> int:
    """Write what a consent that binds positions became; return the new epoch.

    ``reach`` is that of the consent to location, and left alone where ``item`` is another.
    ``until`` is when this one runs out by itself.

    Raises
    ------
    GateMissing
    """
    epoch = await store.set_since(
        conn, company_id, driver_id, item, since, reach=reach, until=until
    )
    return there(epoch, GateMissing)


async def moment(conn: Connection, company_id: UUID, driver_id: UUID, now: datetime) -> datetime:
    """Return when an act on the driver counts that came at ``now``; the gate is locked.

    Clocks of processes differ, and a clock is read before the gate is got: acts count in the order
    in which they got it, or one would begin before what ended before it.

    Raises
    ------
    GateMissing
    """
    return there(await store.act(conn, company_id, driver_id, now), GateMissing)


async def set_stopped(
    conn: Connection, company_id: UUID, driver_id: UUID, *, stopped: bool
) -> None:
    """Let recording wait for the driver to start or resume a shift, or wait no longer."""
    await store.set_stopped(conn, company_id, driver_id, stopped=stopped)


async def set_account_active(
    conn: Connection, company_id: UUID, driver_id: UUID, *, active: bool
) -> int:
    """Open or close the gate for the account as a whole; return the new epoch.

    Raises
    ------
    GateMissing
    """
    epoch = await store.set_account_active(conn, company_id, driver_id, active=active)
    return there(epoch, GateMissing)


async def bump_credentials(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Make every process look its devices up again: one was revoked."""
    await store.bump_credentials(conn, company_id, driver_id)


async def open_window(
    conn: Connection, company_id: UUID, driver_id: UUID, *, at: datetime, expires_at: datetime
) -> None:
    """Let positions be recorded from ``at`` until it is closed, at most until ``expires_at``."""
    await store.insert_window(
        conn, company_id, driver_id, uuid7(), opened_at=at, expires_at=expires_at
    )
    there(await store.bump_rev(conn, company_id, driver_id), GateMissing)


async def move_window_end(
    conn: Connection, company_id: UUID, driver_id: UUID, *, expires_at: datetime
) -> None:
    """Let the open window last until ``expires_at``, which is to come, if nobody closes it."""
    await store.move_window_end(conn, company_id, driver_id, expires_at)
    there(await store.bump_rev(conn, company_id, driver_id), GateMissing)


async def close_window(
    conn: Connection, company_id: UUID, driver_id: UUID, *, at: datetime
) -> None:
    """Close the open window, if there is one."""
    await store.close_window(conn, company_id, driver_id, at)
    there(await store.bump_rev(conn, company_id, driver_id), GateMissing)


async def windows(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, until: datetime
) -> Windows:
    """Return the recording windows that touch the interval, oldest first."""
    found = await store.windows(conn, company_id, driver_id, since=since, until=until)
    return tuple(found)


async def windows_of(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    *,
    since: datetime,
    until: datetime,
) -> dict[UUID, Windows]:
    """Return by driver the recording windows that touch the interval, oldest first."""
    found: dict[UUID, Windows] = {}
    for driver_id, window in await store.windows_of(
        conn, company_id, driver_ids, since=since, until=until
    ):
        found[driver_id] = (*found.get(driver_id, ()), window)
    return found


async def drivers_in_a_window(conn: Connection, company_id: UUID, at: datetime) -> set[UUID]:
    """Return the drivers on shift and not paused at ``at``."""
    return set(await store.drivers_in_a_window(conn, company_id, at))


@asynccontextmanager
async def stopping(
    pool: Pool, company_id: UUID, driver_id: UUID, *, now: datetime
) -> AsyncGenerator[Connection]:
    """Open the transaction of an act that stops recording: the entry's, in place of its own.

    Share lockers overtake a waiting UPDATE, so under saturation a withdrawal would starve (15 s
    measured). A row committed first makes the storing statement skip this driver; then the gate's
    row comes free within one statement. When this returns, the act is committed, nothing of the
    driver commits after it, and no frame with their position leaves.

    Raises
    ------
    GateMissing
    """
    closing_id = uuid7()
    async with db.tenant(pool, company_id) as conn:
        await read(conn, company_id, driver_id)
        await store.insert_closing(conn, company_id, driver_id, closing_id, now)
    try:
        async with db.tenant(pool, company_id) as conn:
            await lock(conn, company_id, driver_id)
            yield conn
            await store.delete_closing(conn, company_id, driver_id, closing_id)
    except BaseException:
        await _reopen(pool, company_id, driver_id, closing_id)
        raise
    await drain_frames(pool, company_id)


async def _reopen(pool: Pool, company_id: UUID, driver_id: UUID, closing_id: UUID) -> None:
    """Take back the announcement of an act that failed, or leave it to the sweep."""
    try:
        async with db.tenant(pool, company_id) as conn:
            await store.delete_closing(conn, company_id, driver_id, closing_id)
    except Exception as error:  # noqa: BLE001 - the first error is the one to tell; the sweep mends
        log.warning("gate_closing_left", error=type(error).__name__)


async def sweep_closings(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Take back announcements whose process died before the act committed; return how many."""
    before = now - timedelta(seconds=CLOSING_S_MAX)
    return await store.delete_closings_before(conn, company_id, before)


@asynccontextmanager
async def frames(pool: Pool, company_id: UUID) -> AsyncGenerator[Connection]:
    """Hold the company's barrier while gates are read and frames are handed to the kernel.

    An act that closes a gate waits at most ``FRAME_LEASE_MS``, so the block is cancelled before.
    The lease runs from before the barrier is asked for: an act that comes later ends its wait
    later too. A process that was held up wakes to its cancellation before it reads on.

    Raises
    ------
    TimeoutError
        The lease ran out. What was not handed over by then must not be handed over any more.
    """
    lease_s = (FRAME_LEASE_MS - FRAME_MARGIN_MS) / 1000
    async with db.tenant(pool, company_id) as conn, asyncio.timeout(lease_s):
        await store.share_live_barrier(conn, company_id)
        yield conn


async def drain_frames(pool: Pool, company_id: UUID) -> None:
    """Wait until every frame that was begun before now has left, at most one lease long."""
    try:
        async with db.tenant(pool, company_id) as conn:
            await store.pass_live_barrier(conn, company_id, lock_ms_max=FRAME_LEASE_MS)
    except db.LockTimeout:
        log.warning("frame_lease_ran_out")


async def erase(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    """Delete the driver's gate and windows; return the number of rows."""
    return await store.delete_driver(conn, company_id, driver_id)
