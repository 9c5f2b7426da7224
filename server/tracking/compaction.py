"""Merging what a device uploaded in an hour into one row: in order, each position once.

Reading, opening and sealing hold no lock. The exchange is one statement that holds the gate as an
upload does, so it can never bring back what an erasure removed; before its commit nothing changed.

Some hours are read, opened and sealed at once, because each journey to the databases and into a
thread costs as much as the work. They are exchanged one by one: no driver's gate is held while
another's rows are written.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple
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
from server.tracking.compaction_store import CUT_OUT, EXCHANGE, LooseHour, SealedSource
from server.tracking.model import ChunkRow, Positions, ceil_ms, from_ms
from server.vault.model import Category, DataKey, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

HOUR: Final = timedelta(hours=1)
SETTLED: Final = timedelta(minutes=30)
"""After an hour's end: by then nearly all of it has arrived. What comes later is merged later."""
EVERY_MIN: Final = 10
HOURS_IN_A_TURN: Final = 500
"""Of one company before it is another's turn: about three seconds."""
HOURS_AT_ONCE: Final = 25
"""Read and sealed together. More gain nothing, and lie in memory opened."""
LEVEL: Final = 6
"""Of zstd: 3 % less on disk than an upload's level 1; beyond it nothing is gained."""


CUT_AT_ONCE: Final = 25
CUT_TRIES_MAX: Final = 10
CUT_AGAIN_S: Final = 0.2


class NotCutOut(Exception):
    """Somebody else was at the rows, or at the gate, all the time; another try may do."""


class _Changed(Exception):
    """The rows or the gate are not as they were read; nothing was exchanged."""


class _Hour(NamedTuple):
    """An hour as it was read."""

    gate: Gate
    old: list[SealedSource]


async def compact_due(dsn: str, pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> int:
    """Merge, every ten minutes, a turn's worth of what the last days left loose.

    Looks back as far as a phone may hold positions, and not at the last half hour. Returns how many
    hours were merged: of none, another turn with the same ``now`` would merge none either.
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
            conn, company_id, since=since, until=until, limit=HOURS_IN_A_TURN
        )
    if not hours:
        return 0
    merged = 0
    committer = await db.connect(dsn, role=db.ROLE_COMMITTER)
    try:
        for place in range(0, len(hours), HOURS_AT_ONCE):
            some = hours[place : place + HOURS_AT_ONCE]
            merged += await _compact(committer, pool, vault, company_id, some, EXCHANGE)
    finally:
        await committer.close()
    return merged


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
    return bool(await _compact(committer, pool, vault, company_id, [loose], statement))


async def cut_out(
    committer: db.Connection,
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
) -> int:
    """Take ``[since, until)`` out of the rows that lie in it or reach beyond; return how much.

    No window may hold any of it by now, and the rows be stored: then nothing more of it comes. A
    row that cannot be opened goes whole, for nobody can tell what is in it. Every row is exchanged
    by itself, so a crash leaves the others, and what merges rows meanwhile finds them changed.

    Raises
    ------
    GateMissing, NotCutOut
    """
    removed = 0
    for _ in range(CUT_TRIES_MAX):
        changed, after = False, None
        while True:
            async with db.tenant(pool, company_id, readonly=True) as conn:
                gate = await gates.read(conn, company_id, driver_id)
                old = await compaction_store.touching(
                    conn,
                    company_id,
                    driver_id,
                    since=since,
                    until=until,
                    after=after,
                    limit=CUT_AT_ONCE,
                )
            if not old:
                break
            keys = await vault.keys(company_id, {one.key_id for one in old})
            cut = await asyncio.to_thread(_each_cut, old, keys, ceil_ms(since), ceil_ms(until))
            for one, new, count in cut:
                try:
                    await _exchange(committer, CUT_OUT, gate, [one], new)
                    removed += count
                except _Changed:
                    changed = True
            after = old[-1]
        if not changed:
            return removed
        await asyncio.sleep(CUT_AGAIN_S)
    raise NotCutOut


async def _compact(
    committer: db.Connection,
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    loose: Sequence[LooseHour],
    statement: str,
) -> int:
    """Merge some hours of one company; return how many."""
    merged = 0
    read = await _read(pool, company_id, loose)
    # An hour of which a key is missing, or damaged, is left as it is: nothing is lost by that.
    keys = await vault.keys_of_many(company_id, {one.key_id for hour in read for one in hour.old})
    sealing = [(hour, await _key(vault, hour, keys)) for hour in read]
    whole = [(hour, key) for hour, key in sealing if key is not None]
    sealed = await asyncio.to_thread(_merged_each, whole, keys)
    for (hour, _), new in zip(whole, sealed, strict=True):
        if new is not None:
            with suppress(_Changed):
                await _exchange(committer, statement, hour.gate, hour.old, new)
                merged += 1
    return merged


async def _read(pool: Pool, company_id: UUID, loose: Sequence[LooseHour]) -> list[_Hour]:
    """Return what there is of the hours; the gate of each before its rows."""
    found = []
    async with db.tenant(pool, company_id, readonly=True) as conn:
        for one in loose:
            with suppress(GateMissing):
                gate = await gates.read(conn, company_id, one.driver_id)
                old = await compaction_store.sources(
                    conn, company_id, one.driver_id, since=one.hour, until=one.hour + HOUR
                )
                found.append(_Hour(gate, old))
    return found


async def _key(vault: Vault, hour: _Hour, keys: Mapping[UUID, DataKey]) -> DataKey | None:
    """Return the key that seals the hour; None if not all of it can be opened, or is any."""
    if not hour.old or any(one.key_id not in keys for one in hour.old):
        return None
    driver_id, at = hour.gate.driver_id, hour.old[0].last_at
    try:
        return await vault.key(hour.gate.company_id, driver_id, Category.TRACK, at=at)
    except SubjectErased:
        return None


async def _exchange(
    conn: db.Connection,
    statement: str,
    gate: Gate,
    old: Sequence[SealedSource],
    new: Sequence[ChunkRow],
) -> None:
    async with conn.transaction():
        await db.enter(conn, gate.company_id)
        await compaction_store.wait_for_no_disk(conn)
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


def _merged_each(
    hours: Sequence[tuple[_Hour, DataKey]], keys: Mapping[UUID, DataKey]
) -> list[list[ChunkRow] | None]:
    """Return the new rows of each hour; None of one with a row that cannot be opened."""
    found: list[list[ChunkRow] | None] = []
    for hour, key in hours:
        try:
            found.append(_merged(hour.old, keys, key))
        except BlobUnreadable:
            log.warning("chunk_unreadable")
            found.append(None)
    return found


def _each_cut(
    old: Sequence[SealedSource], keys: Mapping[UUID, DataKey], since_ms: int, until_ms: int
) -> list[tuple[SealedSource, list[ChunkRow], int]]:
    """Return the rows with something of that time, what stays of each, and how much goes."""
    found = []
    for one in old:
        left = _without(one, keys.get(one.key_id), since_ms, until_ms)
        if left is not None:
            found.append((one, *left))
    return found


def _without(
    one: SealedSource, key: DataKey | None, since_ms: int, until_ms: int
) -> tuple[list[ChunkRow], int] | None:
    """Return what stays of a row without that time, and how much goes; None if nothing does."""
    if key is None:
        return [], 0
    try:
        whole, number = codec.open_chunk(key, one.blob, one.upload_id)
    except BlobUnreadable:
        log.warning("chunk_unreadable")
        return [], 0
    outside = (whole.time_ms < since_ms) | (whole.time_ms >= until_ms)
    count = int((~outside).sum())
    if not count:
        return None
    return ([_row(whole.take(outside), number, key)] if outside.any() else []), count


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
        rows.append(_row(part, int(number), key))
    return rows


def _row(part: Positions, number: int, key: DataKey) -> ChunkRow:
    """Seal positions of one device, in whatever order, as one row."""
    row_id = uuid4()  # version 4: no upload's, those are of version 8
    packed = codec.pack(part, number, level=LEVEL)
    return ChunkRow(
        upload_id=row_id,
        first_at=from_ms(int(part.time_ms.min())),
        last_at=from_ms(int(part.time_ms.max())),
        size=len(part),
        key_id=key.key_id,
        blob=codec.seal(key, packed, row_id=row_id, schema=codec.CHUNK_SCHEMA),
    )
