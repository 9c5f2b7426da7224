"""How long it is kept who looked. What the ledger says of it stays."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.kit import db
from server.reads import store

READS_KEPT: Final = timedelta(days=365)
BUCKETS_PAGE: Final = 200
BUCKETS_AT_ONCE_MAX: Final = 20_000
"""Of a company in one run: more than two months of them; what is left waits for the next run."""
SETS_PAGE: Final = 1_000
SET_TRIES_MAX: Final = 3


def reads_kept_since(now: datetime) -> datetime:
    """Return the time before which nothing is told any more of who looked."""
    return now - READS_KEPT


async def forget_old_reads(dsn: str, company_id: UUID, now: datetime) -> int:
    """Remove the reads of each five minutes that are too old; return how many such there were.

    Five minutes go whole or not at all, in a transaction of their own: so whoever goes over the
    ledger can tell what went by age from what was tampered with. The connection is of the job
    runner's role, which alone may remove reads, and only old ones by the database's clock too.
    """
    until = reads_kept_since(now)
    conn = await db.connect(dsn, role=db.ROLE_JOBS)
    try:
        forgotten = await _forget_buckets(conn, company_id, until)
        await _forget_sets(conn, company_id)
        async with conn.transaction():
            await db.enter(conn, company_id)
            await store.delete_alerts(conn, company_id, until=until)
    finally:
        await conn.close()
    return forgotten


async def old_reads(
    conn: db.Connection, company_id: UUID, now: datetime
) -> tuple[int, datetime | None]:
    """Return of how many five minutes the reads are too old, and when the first of them began."""
    return await store.count_old_buckets(conn, company_id, until=reads_kept_since(now))


async def _forget_buckets(conn: db.Connection, company_id: UUID, until: datetime) -> int:
    forgotten = 0
    while forgotten < BUCKETS_AT_ONCE_MAX:
        async with conn.transaction(readonly=True):
            await db.enter(conn, company_id)
            old = await store.old_buckets(conn, company_id, until=until, limit=BUCKETS_PAGE)
        gone = 0
        for bucket_at in old:
            async with conn.transaction():
                await db.enter(conn, company_id)
                gone += await store.delete_bucket(conn, company_id, bucket_at)
        forgotten += gone
        if len(old) < BUCKETS_PAGE or not gone:
            break
    return forgotten


async def _forget_sets(conn: db.Connection, company_id: UUID) -> None:
    """Remove the lists of drivers that no read names any more."""
    tries = 0
    while tries < SET_TRIES_MAX:
        try:
            async with conn.transaction():
                await db.enter(conn, company_id)
                gone = await store.delete_unused_sets(conn, company_id, limit=SETS_PAGE)
        except db.ForeignKeyViolation:
            tries += 1  # somebody looked at just these drivers meanwhile
        else:
            if gone < SETS_PAGE:
                break
