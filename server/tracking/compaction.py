"""Merging what a device uploaded in an hour into one row: in order, each position once.

Reading, opening and sealing hold no lock. The exchange is one statement that holds the gate as an
upload does, so it can never bring back what an erasure removed; before its commit nothing changed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import numpy as np
import structlog

from server.accounts import service as accounts
from server.gate import service as gates
from server.gate.model import Gate, GateMissing
from server.kit import db
from server.kit.db import Pool
from server.tracking import codec, compaction_store, service
from server.tracking.codec import BlobUnreadable
from server.tracking.compaction_store import EXCHANGE, LooseHour, SealedSource
from server.tracking.model import ChunkRow, Positions, from_ms
from server.vault.model import Category, DataKey, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

HOUR: Final = timedelta(hours=1)
SETTLED: Final = timedelta(minutes=30)
"""After an hour's end: by then nearly all of it has arrived. What comes later is merged later."""
EVERY_MIN: Final = 10
HOURS_AT_ONCE_MAX: Final = 500
LEVEL: Final = 6
"""Of zstd: 3 % less on disk than an upload's level 1; beyond it nothing is gained."""


class _Changed(Exception):
    """The rows or the gate are not as they were read; nothing was exchanged."""


async def compact_due(dsn: str, pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> int:
    """Merge every ten minutes what the last days left loose; return how many hours.

    Looks back as far as a phone may hold positions, and not at the last half hour.
    """
    if now.minute % EVERY_MIN:
        return 0
    async with db.tenant(pool, company_id, readonly=True) as conn:
        company = await accounts.company(conn, company_id)
        until = now.replace(minute=0, second=0, microsecond=0)
        if now - until < SETTLED:
            until -= HOUR
        since = until - timedelta(seconds=company.buffer_max_s) - 2 * HOUR
        hours = await compaction_store.loose_hours(
            conn, company_id, since=since, until=until, limit=HOURS_AT_ONCE_MAX
        )
    if not hours:
        return 0
    committer = await db.connect(dsn, role=db.ROLE_COMMITTER)
    try:
        return sum([await compact(committer, pool, vault, company_id, loose) for loose in hours])
    finally:
        await committer.close()


async def compact(
    committer: db.Connection,
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    loose: LooseHour,
    *,
    statement: str = EXCHANGE,
) -> bool:
    """Merge one hour of a driver; tell whether that was done.

    It is not where the driver's gate is being closed, changed or erased, where another job was
    first, and where a row cannot be opened. The next run tries again.

    Parameters
    ----------
    committer
        A connection of the committer's role, in no transaction.
    statement
        The exchange; only a proof gives another.
    """
    try:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            gate = await gates.read(conn, company_id, loose.driver_id)
            old = await compaction_store.sources(
                conn, company_id, loose.driver_id, since=loose.hour, until=loose.hour + HOUR
            )
        keys = await vault.keys(company_id, (one.key_id for one in old))
        if len(keys) < len({one.key_id for one in old}) or not old:
            return False
        key = await vault.key(company_id, loose.driver_id, Category.TRACK, at=old[0].last_at)
        new = await asyncio.to_thread(_merged, old, keys, key)
        await _exchange(committer, statement, gate, old, new)
    except (GateMissing, SubjectErased, _Changed):
        return False
    except BlobUnreadable:
        log.warning("chunk_unreadable")
        return False
    return True


async def _exchange(
    conn: db.Connection,
    statement: str,
    gate: Gate,
    old: Sequence[SealedSource],
    new: Sequence[ChunkRow],
) -> None:
    async with conn.transaction():
        await db.enter(conn, gate.company_id)
        gone = await compaction_store.exchange(
            conn,
            statement,
            gate.company_id,
            gate.driver_id,
            key_epoch=gate.key_epoch,
            old=old,
            new=new,
        )
        if gone != len(old):
            raise _Changed


def _merged(
    old: Sequence[SealedSource], keys: Mapping[UUID, DataKey], key: DataKey
) -> list[ChunkRow]:
    """Return one sealed row for each device."""
    opened = [codec.open_chunk(keys[one.key_id], one.blob, one.upload_id) for one in old]
    whole = service.merged(opened)
    rows = []
    for number in np.unique(whole.device):
        mine = whole.device == number
        part = Positions(
            time_ms=whole.time_ms[mine], values=whole.values[:, mine], flags=whole.flags[mine]
        )
        row_id = uuid4()  # version 4: no upload's, those are of version 8
        packed = codec.pack(part, int(number), level=LEVEL)
        rows.append(
            ChunkRow(
                upload_id=row_id,
                first_at=from_ms(int(part.time_ms[0])),
                last_at=from_ms(int(part.time_ms[-1])),
                size=len(part),
                key_id=key.key_id,
                blob=codec.seal(key, packed, row_id=row_id, schema=codec.CHUNK_SCHEMA),
            )
        )
    return rows
