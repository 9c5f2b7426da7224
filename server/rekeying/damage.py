"""Looking whether every key in the key database can be unwrapped; nothing is changed by it."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import KekGone, Keks, KeyDamaged
from server.kit import db
from server.kit.db import Connection
from server.rekeying import store, under_kek
from server.rekeying.model import Damage
from server.rekeying.under_kek import Kind
from server.vault.service import peppers
from server.vault.wrapping import secret_of

BATCH: Final = 2_000
FIRST: Final = UUID(int=0)
TRIES: Final = 3
"""An exchange that ends meanwhile costs a try."""


async def look(keys_dsn: str, keks: Keks) -> Damage:
    """Try each key that there is, of one moment.

    Raises
    ------
    KekUnusable
    """
    for _ in range(TRIES - 1):
        try:
            found, is_in_force = await _looked(keys_dsn, keks)
        except KekGone:
            continue
        if is_in_force or not found:
            return found
    return (await _looked(keys_dsn, keks))[0]


async def _looked(keys_dsn: str, keks: Keks) -> tuple[Damage, bool]:
    """Return what is damaged, and whether the KEK that told is in force still."""
    conn = await db.connect(keys_dsn, role=db.ROLE_REKEYING)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            kek = await keks.in_force((await peppers(conn))[0].kek_id)
            kept = await under_kek.all_kept(conn)
            secrets = await under_kek.each_secret(kek, kept)
            data_keys = {
                one.id: count
                for one, secret in zip(kept, secrets, strict=True)
                if one.kind is Kind.COMPANY
                and secret is not None
                and (count := await _closed(conn, one.id, AESGCM(secret)))
            }
        is_in_force = (await peppers(conn))[0].kek_id == kek.kek_id
    finally:
        await conn.close()
    closed = [one for one, secret in zip(kept, secrets, strict=True) if secret is None]
    return _damage(closed, data_keys), is_in_force


async def _closed(conn: Connection, company_id: UUID, company: AESGCM) -> int:
    """Return how many data keys of the company its key does not open."""
    count, after = 0, FIRST
    while found := await store.data_keys(conn, company_id, after=after, limit=BATCH):
        for one in found:
            try:
                secret_of(company, company_id, one)
            except KeyDamaged:
                count += 1
        after = found[-1].key_id
    return count


def _damage(closed: Sequence[under_kek.Kept], data_keys: dict[UUID, int]) -> Damage:
    def ids(kind: Kind) -> tuple[UUID, ...]:
        return tuple(one.id for one in closed if one.kind is kind)

    return Damage(
        companies=ids(Kind.COMPANY),
        data_keys=data_keys,
        peppers=len(ids(Kind.PEPPER)),
        signing_keys=len(ids(Kind.SIGNING)),
    )
