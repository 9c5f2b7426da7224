"""Exchanging every key above the persons' own, so that destroyed keys are gone from old copies too.

A copy of the key database from before holds the erased person's keys, wrapped by their company's
key, which is wrapped by the KEK. Were either of the two still in use, whoever has the copy and all
keys of today would read the person: so both are new, and the old KEK is destroyed. The pepper goes
first, for the same copy holds hashes of the person's phone, and ten digits are soon tried.

An exchange goes on where a crash left it. Log-ins, uploads and reads work on meanwhile.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import KEY_BYTES, Kek, Keks, KeyDamaged, seal_bytes
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.rekeying import store, under_kek
from server.rekeying.model import Rekeying, Standing, is_due, is_settled
from server.rekeying.under_kek import Kind
from server.vault.opening import insert_pepper
from server.vault.service import installation, peppers
from server.vault.wrapping import key_aad, secret_of

log = structlog.get_logger(__name__)

BATCH: Final = 2_000
LOCK_MS_MAX: Final = 200
"""So long whoever has to make or destroy a key waits behind an exchange that waits itself."""
_FIRST: Final = UUID(int=0)

Reindex = Callable[[], Awaitable[object]]
"""Writes every blind index anew under the newest pepper; it is known everywhere by then."""
Failpoint = Callable[[str], None]
Monotonic = Callable[[], float]


class KeysHeld(Exception):
    """Somebody holds the keys as they are for longer than is waited for: come again."""


class TakenOver(Exception):
    """Somebody else went on with the exchange: this connection's lock was lost meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeyer:
    """What an exchange works on."""

    keys_dsn: str = field(repr=False)
    keks: Keks
    reindex: Reindex
    failpoint: Failpoint = lambda _place: None
    """Told each place where a crash could strike; may raise."""
    monotonic: Monotonic = lambda: 0.0
    """Tells how long it took since ``now``; it takes no time where nothing is given."""


async def run_due(rekeyer: Rekeyer, *, every: timedelta, now: datetime) -> Rekeying | None:
    """Go on with the exchange under way, or begin one if it is due; return it, None if none is.

    Somebody else's is left to them.

    Raises
    ------
    KeysHeld
        The next minute may do.
    TakenOver
    KekUnusable
    """
    began = rekeyer.monotonic()

    def later() -> datetime:
        # It may take minutes, and a certificate names the moment after the KEK was destroyed.
        return now + timedelta(seconds=rekeyer.monotonic() - began)

    async with _alone(rekeyer.keys_dsn) as conn:
        if conn is None:
            return None
        current = await store.under_way(conn)
        if current is None:
            if not is_due(await store.waiting(conn), every=every, now=now):
                return None
            current = await _begin(conn, rekeyer, now)
        return await _go_on(conn, rekeyer, current, later)


async def begin(rekeyer: Rekeyer, *, now: datetime) -> Rekeying | None:
    """Begin an exchange, due or not; the one under way if there is one, None if somebody is at it.

    Raises
    ------
    KeysHeld
    KekUnusable
    """
    async with _alone(rekeyer.keys_dsn) as conn:
        if conn is None:
            return None
        return await store.under_way(conn) or await _begin(conn, rekeyer, now)


async def standing(keys_dsn: str) -> Standing:
    """Return how all keys stand, of one moment."""
    conn = await db.connect(keys_dsn, role=db.ROLE_REKEYING)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            return await store.standing(conn)
    finally:
        await conn.close()


async def one(keys_dsn: str, rekeying_id: UUID | None = None) -> Rekeying | None:
    """Return the exchange of this id; without one that which is under way, None if none is."""
    conn = await db.connect(keys_dsn, role=db.ROLE_REKEYING)
    try:
        return await (
            store.under_way(conn) if rekeying_id is None else store.one(conn, rekeying_id)
        )
    finally:
        await conn.close()


async def ended_at(keys_pool: Pool, company_id: UUID, subject_id: UUID) -> datetime | None:
    """Return since when no copy opens a subject whose keys were destroyed; None: not yet."""
    async with db.tenant(keys_pool, company_id, readonly=True) as conn:
        return await store.ended_at(conn, company_id, subject_id)


@asynccontextmanager
async def _alone(keys_dsn: str) -> AsyncGenerator["Connection | None"]:
    conn = await db.connect(keys_dsn, role=db.ROLE_REKEYING)
    try:
        yield conn if await store.try_lock(conn) else None
    finally:
        await conn.close()


async def _begin(conn: Connection, rekeyer: Rekeyer, now: datetime) -> Rekeying:
    begun = Rekeying(rekeying_id=uuid7(), begun_at=now)
    async with conn.transaction():
        await _hold_up_others(conn)
        kek = await _kek_in_force(conn, rekeyer.keks)
        await store.insert(conn, begun.rekeying_id, now)
        await insert_pepper(conn, kek, now)
        await store.take_on(conn, begun.rekeying_id)
        rekeyer.failpoint("begun")
    return begun


async def _go_on(
    conn: Connection, rekeyer: Rekeyer, current: Rekeying, later: Callable[[], datetime]
) -> Rekeying:
    if current.exchanged_at is None:
        if not is_settled(current, later()):
            return current
        await rekeyer.reindex()
        rekeyer.failpoint("reindexed")
        async with conn.transaction():
            await store.delete_older_peppers(conn)
            exchanged_at = later()
            await store.set_exchanged(conn, current.rekeying_id, exchanged_at)
            rekeyer.failpoint("exchanged")
        current = replace(current, exchanged_at=exchanged_at)
    if current.wrapped_at is None:
        current = await _wrap_anew(conn, rekeyer, current, later())
    rekeyer.failpoint("wrapped")
    async with rekeyer.keks.alone():
        await _refuse_taken_over(conn, current)
        kek = await _kek_in_force(conn, rekeyer.keks)
        # Whatever went wrong until here, the KEK before may be what mends it.
        await under_kek.secrets_of(kek, await under_kek.all_kept(conn))
        await rekeyer.keks.end_others(kek.kek_id)
    rekeyer.failpoint("ended")
    ended = replace(current, ended_at=(at := later()))
    await store.set_ended(conn, current.rekeying_id, at)
    return ended


async def _hold_up_others(conn: Connection) -> None:
    # Whoever asks for a key while we wait would wait behind us: rather we come again.
    await store.limit_lock_wait(conn, lock_ms_max=LOCK_MS_MAX)
    try:
        await store.hold_up_others(conn)
    except db.LockTimeout:
        raise KeysHeld from None


async def _refuse_taken_over(conn: Connection, current: Rekeying) -> None:
    """Look whether we are still the ones, before anything is made or destroyed.

    A process that stood still has lost its connection and with it the lock: another one may have
    ended this exchange and be at the next, whose KEK it would destroy.
    """
    found = await store.under_way(conn)
    if found is None or (found.rekeying_id, found.wrapped_at is None) != (
        current.rekeying_id,
        current.wrapped_at is None,
    ):
        raise TakenOver


async def _wrap_anew(
    conn: Connection, rekeyer: Rekeyer, current: Rekeying, now: datetime
) -> Rekeying:
    """Wrap every key anew, in one transaction: whoever reads one sees all of it before or after."""
    async with rekeyer.keks.alone(), conn.transaction():
        await _hold_up_others(conn)
        await _refuse_taken_over(conn, current)
        old = await _kek_in_force(conn, rekeyer.keks)
        kept = await under_kek.all_kept(conn)
        before = await under_kek.secrets_of(old, kept)
        # It may be found where the next one is to lie: whoever put back a copy that was taken in
        # the middle of an exchange has it there.
        await rekeyer.keks.end_others(old.kek_id)
        new = await rekeyer.keks.follow()
        rekeyer.failpoint("followed")
        anew, keys = [], 0
        for one, secret in zip(kept, before, strict=True):
            if one.kind is Kind.COMPANY:
                fresh = secrets.token_bytes(KEY_BYTES)
                keys += await _wrap_company(conn, one.id, AESGCM(secret), AESGCM(fresh))
                anew.append(fresh)
            else:
                anew.append(secret)
        await under_kek.write(conn, new.kek_id, await under_kek.wrap(new, kept, anew))
        companies = sum(one.kind is Kind.COMPANY for one in kept)
        done = replace(current, wrapped_at=now, companies=companies, keys=keys)
        await store.set_wrapped(conn, done, new.kek_id, now)
        rekeyer.failpoint("wrapping")
    return done


async def _wrap_company(conn: Connection, company_id: UUID, old: AESGCM, new: AESGCM) -> int:
    """Wrap the data keys of a company anew; return how many.

    One that somebody changed opens nothing: it is left as it is, and holds up nobody's erasure.
    """
    count, damaged, after = 0, 0, _FIRST
    while found := await store.data_keys(conn, company_id, after=after, limit=BATCH):
        wrapped = {}
        for one in found:
            try:
                secret = secret_of(old, company_id, one)
            except KeyDamaged:
                damaged += 1
                continue
            aad = key_aad(company_id, one.subject_id, one.category, one.period, one.key_id)
            wrapped[one.key_id] = seal_bytes(new, secret, aad=aad)
        await store.set_data_keys(conn, company_id, list(wrapped), list(wrapped.values()))
        count += len(wrapped)
        after = found[-1].key_id
    if damaged:  # `jolda keys status` tells of them as well
        log.error("data_keys_damaged", company=str(company_id), count=damaged)
    return count


async def _kek_in_force(conn: Connection, keks: Keks) -> Kek:
    """Return it, if it is still ours: somebody else's is not to be exchanged nor destroyed."""
    found = await installation(conn)
    if found is not None:
        await keks.refuse_other(found)
    return await keks.in_force((await peppers(conn))[0].kek_id)
