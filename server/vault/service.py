"""The vault: keys by subject, category and period; blind indexes; destroying a subject's keys.

The key database is a server of its own, so the vault opens its own transactions there. Keys are
held unwrapped for at most 60 s.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.vault import store
from server.vault.kek import KEY_BYTES, Kek, KekUnusable, open_bytes, seal_bytes
from server.vault.model import Category, DataKey, SealedText, SubjectErased, period_of
from server.vault.store import WrappedKey

UNWRAPPED_S_MAX: Final = 60.0
KEYS_HELD_MAX: Final = 50_000
_PEPPER_AAD: Final = b"jolda pepper v1"

Monotonic = Callable[[], float]


class Vault:
    """Seals and opens for one process. Make it with :func:`open_vault`."""

    def __init__(
        self, pool: Pool, kek: Kek, pepper: bytes, *, monotonic: Monotonic = time.monotonic
    ) -> None:
        self._pool = pool
        self._kek = kek
        self._pepper = pepper
        self._monotonic = monotonic
        self._by_id: dict[tuple[UUID, UUID], tuple[float, DataKey]] = {}
        self._by_period: dict[tuple[UUID, UUID, Category, str], tuple[float, DataKey]] = {}

    def blind_index(self, kind: str, canonical: str) -> bytes:
        """Return the HMAC under which a phone or e-mail is found, the same in every company."""
        digest = hmac.HMAC(self._pepper, hashes.SHA256())
        digest.update(f"{kind}:{canonical}".encode())
        return digest.finalize()

    async def create_company(self, company_id: UUID, now: datetime) -> None:
        """Make the company's key; does nothing where there is one."""
        wrapped = self._kek.wrap(secrets.token_bytes(KEY_BYTES), aad=_company_aad(company_id))
        async with db.tenant(self._pool, company_id) as conn:
            await store.insert_company_key(
                conn, company_id, kek_id=self._kek.kek_id, wrapped=wrapped, now=now
            )
            await store.insert_subject(conn, company_id, company_id)

    async def create_subject(self, company_id: UUID, subject_id: UUID) -> None:
        """Let a new member have keys."""
        async with db.tenant(self._pool, company_id) as conn:
            await store.insert_subject(conn, company_id, subject_id)

    async def key(
        self, company_id: UUID, subject_id: UUID, category: Category, *, at: datetime
    ) -> DataKey:
        """Return the key that seals a subject's things of the time ``at``, making it if needed.

        Raises
        ------
        SubjectErased
            The subject's keys were destroyed.
        """
        period = period_of(category, at)
        place = (company_id, subject_id, category, period)
        held = self._by_period.get(place)
        if held is not None and held[0] > self._monotonic():
            return held[1]
        async with db.tenant(self._pool, company_id) as conn:
            company = await self._company_cipher(conn, company_id)
            found = await store.key_of(
                conn, company_id, subject_id, category=category, period=period
            )
            if found is None:
                found = await self._make(conn, company, place, at)
        return self._hold(company_id, _unwrap(company, company_id, found))

    async def keys(self, company_id: UUID, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the keys that still exist; a destroyed one is simply not among them."""
        wanted = set(key_ids)
        until = self._monotonic()
        ready = {
            key_id: held[1]
            for key_id in wanted
            if (held := self._by_id.get((company_id, key_id))) is not None and held[0] > until
        }
        missing = sorted(wanted - ready.keys())
        if missing:
            async with db.tenant(self._pool, company_id, readonly=True) as conn:
                company = await self._company_cipher(conn, company_id)
                for found in await store.keys_by_id(conn, company_id, missing):
                    key = self._hold(company_id, _unwrap(company, company_id, found))
                    ready[key.key_id] = key
        return ready

    async def seal_text(
        self,
        company_id: UUID,
        subject_id: UUID,
        category: Category,
        text: str,
        *,
        row_id: UUID,
        schema: str,
        now: datetime,
    ) -> bytes:
        """Seal one text of a subject, bound to its row and column (``schema``)."""
        key = await self.key(company_id, subject_id, category, at=now)
        return key.seal(text.encode(), row_id=row_id.bytes, schema=schema)

    async def open_texts(
        self, company_id: UUID, items: Sequence[SealedText | None]
    ) -> list[str | None]:
        """Open many texts with one look-up; None where the key is gone or there was no text."""
        keys = await self.keys(company_id, (item.key_id for item in items if item is not None))
        return [None if item is None else _open_text(keys.get(item.key_id), item) for item in items]

    async def destroy(self, company_id: UUID, subject_id: UUID, now: datetime) -> int:
        """Destroy every key of a subject for good; return how many there were. Idempotent."""
        async with db.tenant(self._pool, company_id) as conn:
            # The subject first: whoever makes a key holds it FOR SHARE until that key is there.
            await store.destroy_subject(conn, company_id, subject_id, now)
            destroyed = await store.delete_keys(conn, company_id, subject_id)
        self.forget(company_id, subject_id)
        return destroyed

    def forget(self, company_id: UUID, subject_id: UUID) -> None:
        """Drop a subject's unwrapped keys from memory."""
        for place in [place for place in self._by_period if place[:2] == (company_id, subject_id)]:
            del self._by_period[place]
        for key_place, (_, key) in list(self._by_id.items()):
            if key.company_id == company_id and key.subject_id == subject_id:
                del self._by_id[key_place]

    async def _make(
        self,
        conn: Connection,
        company: AESGCM,
        place: tuple[UUID, UUID, Category, str],
        now: datetime,
    ) -> WrappedKey:
        company_id, subject_id, category, period = place
        if not await store.share_living_subject(conn, company_id, subject_id):
            raise SubjectErased
        key_id = uuid7()
        wrapped = seal_bytes(
            company,
            secrets.token_bytes(KEY_BYTES),
            aad=_key_aad(company_id, subject_id, category, period, key_id),
        )
        made = WrappedKey(
            key_id=key_id, subject_id=subject_id, category=category, period=period, wrapped=wrapped
        )
        await store.insert_key(conn, company_id, made, now)
        # Another process may have been first: its key is the one.
        found = await store.key_of(conn, company_id, subject_id, category=category, period=period)
        if found is None:
            raise SubjectErased
        return found

    async def _company_cipher(self, conn: Connection, company_id: UUID) -> AESGCM:
        wrapped = await store.company_key(conn, company_id)
        if wrapped is None:
            raise SubjectErased
        return AESGCM(self._kek.unwrap(wrapped, aad=_company_aad(company_id)))

    def _hold(self, company_id: UUID, key: DataKey) -> DataKey:
        if len(self._by_id) >= KEYS_HELD_MAX:
            self._by_id.clear()
            self._by_period.clear()
        until = self._monotonic() + UNWRAPPED_S_MAX
        self._by_id[company_id, key.key_id] = (until, key)
        self._by_period[company_id, key.subject_id, key.category, key.period] = (until, key)
        return key


async def open_vault(pool: Pool, kek: Kek, now: datetime) -> Vault:
    """Return the vault, making the log-in pepper on the first start.

    Raises
    ------
    KekUnusable
        The key database was made with another KEK.
    """
    async with pool.acquire() as conn, conn.transaction():
        await store.lock_peppers(conn)
        found = await store.peppers(conn)
        if not found:
            wrapped = kek.wrap(secrets.token_bytes(KEY_BYTES), aad=_PEPPER_AAD)
            await store.insert_pepper(conn, uuid7(), kek_id=kek.kek_id, wrapped=wrapped, now=now)
            found = await store.peppers(conn)
    _, kek_id, wrapped = found[-1]
    if kek_id != kek.kek_id:
        raise KekUnusable("The key database was made with another KEK file.")
    return Vault(pool, kek, kek.unwrap(wrapped, aad=_PEPPER_AAD))


def _open_text(key: DataKey | None, item: SealedText) -> str | None:
    if key is None:
        return None
    return key.open(item.sealed, row_id=item.row_id.bytes, schema=item.schema).decode()


def _unwrap(company: AESGCM, company_id: UUID, found: WrappedKey) -> DataKey:
    aad = _key_aad(company_id, found.subject_id, found.category, found.period, found.key_id)
    try:
        secret = open_bytes(company, found.wrapped, aad=aad)
    except InvalidTag:
        raise KekUnusable("A key in the key database was changed or moved.") from None
    return DataKey(
        company_id=company_id,
        key_id=found.key_id,
        subject_id=found.subject_id,
        category=Category(found.category),
        period=found.period,
        cipher=AESGCM(_derived(secret, b"jolda seal v1")),
        index_secret=_derived(secret, b"jolda index v1"),
    )


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=KEY_BYTES, info=purpose).derive(secret)


def _company_aad(company_id: UUID) -> bytes:
    return b"jolda company key v1|" + company_id.bytes


def _key_aad(company_id: UUID, subject_id: UUID, category: str, period: str, key_id: UUID) -> bytes:
    place = f"|{category}|{period}|".encode()
    return b"jolda data key v1|" + company_id.bytes + subject_id.bytes + place + key_id.bytes
