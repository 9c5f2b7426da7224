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

from server.kek.model import KEY_BYTES, Bound, Kek, Keks, KeyDamaged, seal_bytes
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.rekeying import store
from server.rekeying.model import Rekeying, Standing, is_due, is_settled
from server.vault.opening import insert_pepper
from server.vault.service import peppers, signing_keys
from server.vault.wrapping import PEPPER_AAD, company_aad, key_aad, secret_of, signing_aad

log = structlog.get_logger(__name__)

BATCH: Final = 2_000
LOCK_MS_MAX: Final = 200
"""So long whoever has to make or destroy a key waits behind an exchange that waits itself."""
_FIRST: Final = UUID(int=0)

Reindex = Callable[[], Awaitable[object]]
"""Writes every blind index anew under the newest pepper; it is known everywhere by then."""
Failpoint = Callable[[str], None]


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


async def run_due(rekeyer: Rekeyer, *, every: timedelta, now: datetime) -> Rekeying | None:
    """Go on with the exchange under way, or begin one if it is due; return it, None if none is.

    Somebody else's is left to them.

    Raises
    ------
    KeysHeld
        The next minute may do.
    KekUnusable
    """
    async with _alone(rekeyer.keys_dsn) as conn:
        if conn is None:
            return None
        current = await store.under_way(conn)
        if current is None:
            if not is_due(await store.waiting(conn), every=every, now=now):
                return None
            current = await _begin(conn, rekeyer, now)
        return await _go_on(conn, rekeyer, current, now)


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


async def _go_on(conn: Connection, rekeyer: Rekeyer, current: Rekeying, now: datetime) -> Rekeying:
    if current.exchanged_at is None:
        if not is_settled(current, now):
            return current
        await rekeyer.reindex()
        rekeyer.failpoint("reindexed")
        async with conn.transaction():
            await store.delete_older_peppers(conn)
            await store.set_exchanged(conn, current.rekeying_id, now)
            rekeyer.failpoint("exchanged")
        current = replace(current, exchanged_at=now)
    if current.wrapped_at is None:
        current = await _wrap_anew(conn, rekeyer, current, now)
    rekeyer.failpoint("wrapped")
    async with rekeyer.keks.alone():
        await _refuse_taken_over(conn, current)
        kek = await _kek_in_force(conn, rekeyer.keks)
        await rekeyer.keks.end_others(kek.kek_id)
    rekeyer.failpoint("ended")
    await store.set_ended(conn, current.rekeying_id, now)
    return replace(current, ended_at=now)


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
        new = await rekeyer.keks.follow()
        rekeyer.failpoint("followed")
        old = await _kek_in_force(conn, rekeyer.keks)
        companies = await store.company_keys(conn)
        bound = [Bound(wrapped, company_aad(company_id)) for company_id, wrapped in companies]
        fresh = [secrets.token_bytes(KEY_BYTES) for _ in companies]
        keys = 0
        for (company_id, _), before, after in zip(
            companies, await old.unwrap(bound), fresh, strict=True
        ):
            keys += await _wrap_company(conn, company_id, AESGCM(before), AESGCM(after))
        wrapped = await new.wrap(
            [
                Bound(key, company_aad(company_id))
                for (company_id, _), key in zip(companies, fresh, strict=True)
            ]
        )
        company_ids = [company_id for company_id, _ in companies]
        await store.set_company_keys(conn, new.kek_id, company_ids, wrapped)
        await _wrap_peppers(conn, old, new)
        await _wrap_signing_keys(conn, old, new)
        done = replace(current, wrapped_at=now, companies=len(companies), keys=keys)
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
    if damaged:
        log.error("data_keys_damaged", company=str(company_id), keys=damaged)
    return count


async def _wrap_peppers(conn: Connection, old: Kek, new: Kek) -> None:
    found = await peppers(conn)
    secret = await old.unwrap([Bound(one.wrapped, PEPPER_AAD) for one in found])
    wrapped = await new.wrap([Bound(one, PEPPER_AAD) for one in secret])
    for one, anew in zip(found, wrapped, strict=True):
        await store.set_pepper(conn, one.pepper_id, kek_id=new.kek_id, wrapped=anew)


async def _wrap_signing_keys(conn: Connection, old: Kek, new: Kek) -> None:
    found = await signing_keys(conn)
    secret = await old.unwrap([Bound(one.wrapped, signing_aad(one.key_id)) for one in found])
    wrapped = await new.wrap(
        [Bound(key, signing_aad(one.key_id)) for one, key in zip(found, secret, strict=True)]
    )
    for one, anew in zip(found, wrapped, strict=True):
        await store.set_signing_key(conn, replace(one, kek_id=new.kek_id, wrapped=anew))


async def _kek_in_force(conn: Connection, keks: Keks) -> Kek:
    return await keks.in_force((await peppers(conn))[0].kek_id)
