"""Removing what was kept long enough, and the keys that nothing needs any more.

A batch is a transaction of its own with its entry in the ledger, and locks no gate: uploads and
withdrawals do not wait for it, and a crash leaves the rest for the next run. A row that is just
being merged is waited for; rows that went are missed by the merge, which then changes nothing.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.accounts.model import TRACK_DAYS_MAX, TRACK_DAYS_MIN
from server.consent import service as consent
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.batches import delete_all
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.retention import store
from server.retention.model import (
    CLOCKS_APART_MAX,
    ClocksApart,
    Gone,
    TrackDaysInvalid,
    TrackDaysPromised,
    first_month_kept,
)
from server.retention.store import Removed
from server.tracking.model import LATEST_KEPT_S
from server.vault.model import Category
from server.vault.service import Vault

log = structlog.get_logger(__name__)

BATCH: Final = 1_000
BATCHES_MAX: Final = 500
"""Of a company in one run: three months of a hundred drivers. What is left waits for the next."""
LOCK_MS_MAX: Final = 500
"""Below PostgreSQL's deadlock_timeout: whoever else wants the rows goes first."""
WAITS_MAX: Final = 3


async def set_track_days(
    conn: Connection, company_id: UUID, days: int, *, actor: Actor, now: datetime
) -> int | None:
    """Keep the company's tracks for so many days from the next run on; return how many it was.

    None: they were kept until the driver was erased.

    Raises
    ------
    CompanyMissing
    TrackDaysInvalid
        Not 1 to 365 days, or fewer than phones may hold positions back.
    TrackDaysPromised
        Longer than before, and than what the record of a consent says under which something is kept
        or may be recorded.
    """
    await store.lock_company(conn, company_id)
    before = (await accounts.company(conn, company_id)).track_days
    if not TRACK_DAYS_MIN <= days <= TRACK_DAYS_MAX:
        raise TrackDaysInvalid
    if before is not None and days > before and await _is_promised_less(conn, company_id, days):
        raise TrackDaysPromised
    if not await store.set_track_days(conn, company_id, days):
        raise TrackDaysInvalid
    await ledger.append(
        conn,
        company_id,
        Act.TRACK_DAYS_SET,
        actor=actor,
        subject_id=None,
        facts={"track_days": days, "before": before},
        now=now,
    )
    return before


async def _is_promised_less(conn: Connection, company_id: UUID, days: int) -> bool:
    less = [
        (driver_id, is_given)
        for driver_id, is_given, said in await consent.track_terms(conn, company_id)
        if said is not None and said < days
    ]
    if any(is_given for _, is_given in less):
        return True
    kept = set(await store.drivers_with_tracks(conn, company_id, None))
    return any(driver_id in kept for driver_id, _ in less)


async def due(conn: Connection, vault: Vault, company_id: UUID, now: datetime) -> Gone:
    """Return what a run would remove; nothing is changed."""
    company = await accounts.company(conn, company_id)
    since = company.tracks_kept_since(now)
    if since is None:
        return Gone()
    held = await holds.drivers_held(conn, company_id, [HeldCategory.TRACK], now)
    tracks = await store.old_tracks(conn, company_id, since, held=held)
    counters, oldest_day = await store.old_counters(conn, company_id, since.date(), held=held)
    month = first_month_kept(since)
    return Gone(
        track_rows=tracks.rows,
        positions=tracks.positions,
        oldest_at=tracks.oldest_at,
        months=await vault.count_before(company_id, Category.TRACK, month, held),
        counters=counters,
        oldest_day=oldest_day,
    )


async def old_latest(
    conn: Connection, company_id: UUID, now: datetime
) -> tuple[int, datetime | None]:
    """Return how many latest positions are 15 minutes old, and when the oldest was recorded."""
    return await store.old_latest(conn, company_id, now - timedelta(seconds=LATEST_KEPT_S))


async def refuse_other_time(pool: Pool, company_id: UUID, now: datetime) -> None:
    """Refuse to go by a clock that is not main's: what is removed does not come back.

    Raises
    ------
    ClocksApart
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        of_main = await store.clock(conn)
    if abs(of_main - now) > CLOCKS_APART_MAX:
        raise ClocksApart


async def forget_due(pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> Gone:
    """Remove what is too old now.

    Raises
    ------
    ClocksApart
    """
    await refuse_other_time(pool, company_id, now)
    return await forget_old_tracks(pool, vault, company_id, now)


async def forget_old_tracks(
    pool: Pool, vault: Vault, company_id: UUID, now: datetime, *, batch: int = BATCH
) -> Gone:
    """Remove what is older than the company keeps it; return what went.

    Keys of whole months go once no row of the month is left of that driver, so that the positions
    cannot be read in older copies of the database either.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        company = await accounts.company(conn, company_id)
    since, days = company.tracks_kept_since(now), company.track_days
    if since is None or days is None:
        return Gone()
    gone, waits = Gone(), 0
    for _ in range(BATCHES_MAX):
        removed = await _batch(pool, company_id, since, days, now, batch)
        if removed is None:
            waits += 1
        elif removed.found:
            gone = _with(gone, removed)
        if waits == WAITS_MAX or (removed is not None and not removed.found):
            break
    month = first_month_kept(since)
    async with db.tenant(pool, company_id, readonly=True) as conn:
        held = await holds.drivers_held(conn, company_id, [HeldCategory.TRACK], now)
        spared = [*await store.drivers_with_tracks(conn, company_id, month), *held]
    months = await vault.destroy_before(company_id, Category.TRACK, month, spared)
    delete_counters = partial(store.delete_counters, before=since.date(), held=held)
    counters = await delete_all(pool, company_id, delete_counters, limit=batch)
    return replace(gone, months=months, counters=counters)


async def _batch(
    pool: Pool, company_id: UUID, since: datetime, track_days: int, now: datetime, limit: int
) -> Removed | None:
    """Remove a few rows and write that down; None where somebody else held them for too long."""
    try:
        async with db.tenant(pool, company_id) as conn:
            await store.wait_at_most(conn, LOCK_MS_MAX)
            held = await holds.drivers_held(conn, company_id, [HeldCategory.TRACK], now)
            removed = await store.delete_tracks(conn, company_id, since, held=held, limit=limit)
            if removed.rows:
                await ledger.append(
                    conn,
                    company_id,
                    Act.TRACKS_EXPIRED,
                    actor=SYSTEM,
                    subject_id=None,
                    facts={
                        "positions": removed.positions,
                        "rows": removed.rows,
                        "track_days": track_days,
                    },
                    now=now,
                )
    except db.LockTimeout:
        log.info("retention_waits", company=str(company_id))
        return None
    return removed


def _with(gone: Gone, removed: Removed) -> Gone:
    oldest = [at for at in (gone.oldest_at, removed.oldest_at) if at is not None]
    return replace(
        gone,
        track_rows=gone.track_rows + removed.rows,
        positions=gone.positions + removed.positions,
        oldest_at=min(oldest, default=None),
    )
