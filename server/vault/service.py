"""The vault: keys by subject, category and period; blind indexes; destroying a subject's keys.

The key database is a server of its own, so the vault opens its own transactions there. Keys are
held unwrapped for at most 60 s.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
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
from server.vault.model import (
    Category,
    DataKey,
    LedgerWitness,
    SealedText,
    SubjectErased,
    period_of,
)
from server.vault.signing import Signer, open_signer
from server.vault.store import WrappedKey

UNWRAPPED_S_MAX: Final = 60.0
EVICT_EVERY_S: Final = 2.0
# The sweep that drops a key comes up to its interval later; the other interval is for a busy loop.
USED_S_MAX: Final = UNWRAPPED_S_MAX - 2 * EVICT_EVERY_S
KEYS_HELD_MAX: Final = 50_000
_PEPPER_AAD: Final = b"jolda pepper v1"

Monotonic = Callable[[], float]


class Vault:
    """Seals and opens for one process. Make it with :func:`open_vault`."""

    def __init__(
        self,
        pool: Pool,
        kek: Kek,
        pepper: bytes,
        *,
        signer: Signer,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._kek = kek
        self._pepper = pepper
        self._signer = signer
        self._monotonic = monotonic
        self._by_id: dict[tuple[UUID, UUID], tuple[float, DataKey]] = {}
        self._by_period: dict[tuple[UUID, UUID, Category, str], tuple[float, DataKey]] = {}
        self._forgotten = 0
        """How often keys were forgotten: one that was asked for before may be among them."""

    def blind_index(self, kind: str, canonical: str) -> bytes:
        """Return the HMAC under which a phone or e-mail is found, the same in every company."""
        digest = hmac.HMAC(self._pepper, hashes.SHA256())
        digest.update(f"{kind}:{canonical}".encode())
        return digest.finalize()

    @property
    def signing_key_id(self) -> UUID:
        """Name the key that :meth:`sign` signs with."""
        return self._signer.key_id

    def sign(self, data: bytes) -> bytes:
        """Return the installation's Ed25519 signature (64 bytes); no database is asked."""
        return self._signer.sign(data)

    def public_keys(self) -> Mapping[UUID, bytes]:
        """Return by id the public halves (32 bytes) of every key that ever signed here."""
        return self._signer.public_keys

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
        held = self.held(company_id, subject_id, category, at=at)
        if held is not None:
            return held
        period = period_of(category, at)
        place = (company_id, subject_id, category, period)
        forgotten = self._forgotten
        async with db.tenant(self._pool, company_id) as conn:
            company = await self._company_cipher(conn, company_id)
            found = await store.key_of(
                conn, company_id, subject_id, category=category, period=period
            )
            if found is None:
                found = await self._make(conn, company, place, at)
        return self._hold(company_id, _unwrap(company, company_id, found), forgotten)

    def held(
        self, company_id: UUID, subject_id: UUID, category: Category, *, at: datetime
    ) -> DataKey | None:
        """Return what :meth:`key` would, if it is unwrapped here just now."""
        place = (company_id, subject_id, category, period_of(category, at))
        held = self._by_period.get(place)
        return held[1] if held is not None and held[0] > self._monotonic() else None

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
            forgotten = self._forgotten
            async with db.tenant(self._pool, company_id, readonly=True) as conn:
                company = await self._company_cipher(conn, company_id)
                for found in await store.keys_by_id(conn, company_id, missing):
                    key = self._hold(company_id, _unwrap(company, company_id, found), forgotten)
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

    async def destroy_live(self, company_id: UUID, now: datetime) -> int:
        """Destroy the keys of live positions of the days before yesterday; return how many."""
        first_kept = period_of(Category.LIVE, now - timedelta(days=1))
        async with db.tenant(self._pool, company_id) as conn:
            destroyed = await store.delete_keys_before(
                conn, company_id, category=Category.LIVE, period=first_kept
            )
        self._forgotten += len(destroyed)
        for key_id in destroyed:
            self._drop(company_id, key_id)
        return len(destroyed)

    async def destroy_months(
        self, company_id: UUID, *, before: datetime, spared: Collection[UUID]
    ) -> int:
        """Destroy the keys of tracks of the months before that time's; return how many.

        Of every subject but those who are ``spared``: something of theirs is still sealed so.
        """
        async with db.tenant(self._pool, company_id) as conn:
            destroyed = await store.delete_keys_before(
                conn,
                company_id,
                category=Category.TRACK,
                period=period_of(Category.TRACK, before),
                spared=spared,
            )
        self._forgotten += len(destroyed)
        for key_id in destroyed:
            self._drop(company_id, key_id)
        return len(destroyed)

    async def count_months(self, company_id: UUID, *, before: datetime) -> int:
        """Return how many keys of tracks there are of the months before that time's."""
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            return await store.count_keys_before(
                conn,
                company_id,
                category=Category.TRACK,
                period=period_of(Category.TRACK, before),
            )

    async def destroy(self, company_id: UUID, subject_id: UUID, now: datetime) -> int:
        """Destroy every key of a subject for good; return how many there were. Idempotent."""
        async with db.tenant(self._pool, company_id) as conn:
            # The subject first: whoever makes a key holds it FOR SHARE until that key is there.
            await store.destroy_subject(conn, company_id, subject_id, now)
            destroyed = await store.delete_keys(conn, company_id, subject_id)
        self.forget(company_id, subject_id)
        return destroyed

    def forget(self, company_id: UUID, subject_id: UUID) -> None:
        """Drop a subject's unwrapped keys from memory, also those that are on their way there."""
        self._forgotten += 1
        for _, key in list(self._by_id.values()):
            if key.company_id == company_id and key.subject_id == subject_id:
                self._drop(company_id, key.key_id)

    async def keep_witness(self, company_id: UUID, witness: LedgerWitness, now: datetime) -> None:
        """Remember how far the company's ledger has come; an earlier place changes nothing."""
        async with db.tenant(self._pool, company_id) as conn:
            await store.keep_witness(conn, company_id, witness, now)

    async def witness(self, company_id: UUID) -> LedgerWitness | None:
        """Return the furthest place of the company's ledger that was remembered."""
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            return await store.witness(conn, company_id)

    def evict(self) -> None:
        """Drop the unwrapped keys whose time is over from memory."""
        at = self._monotonic()
        # Held in the order of their ends, so the first that stays ends the search.
        while self._by_id:
            (company_id, key_id), (until, _) = next(iter(self._by_id.items()))
            if until > at:
                break
            self._drop(company_id, key_id)

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

    def _hold(self, company_id: UUID, key: DataKey, forgotten: int) -> DataKey:
        if forgotten != self._forgotten:
            return key  # it may have been destroyed since it was read
        self.evict()
        if len(self._by_id) >= KEYS_HELD_MAX:
            self._by_id.clear()
            self._by_period.clear()
        self._drop(company_id, key.key_id)
        until = self._monotonic() + USED_S_MAX
        self._by_id[company_id, key.key_id] = (until, key)
        self._by_period[company_id, key.subject_id, key.category, key.period] = (until, key)
        return key

    def _drop(self, company_id: UUID, key_id: UUID) -> None:
        _, key = self._by_id.pop((company_id, key_id), (0.0, None))
        if key is not None:
            self._by_period.pop((company_id, key.subject_id, key.category, key.period), None)


@asynccontextmanager
async def evicting(vault: Vault, *, every_s: float = EVICT_EVERY_S) -> AsyncGenerator[None]:
    """Drop unwrapped keys in time for as long as the block lasts, also when nobody uses them."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every_s)
            vault.evict()

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def was_opened(pool: Pool) -> bool:
    """Tell whether the key database was ever opened: then there is a KEK that it needs."""
    async with pool.acquire() as conn:
        return bool(await store.peppers(conn))


async def open_vault(pool: Pool, kek: Kek, now: datetime) -> Vault:
    """Return the vault, making the log-in pepper and the signing key on the first start.

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
        signer = await open_signer(conn, kek, now)
    return Vault(pool, kek, kek.unwrap(wrapped, aad=_PEPPER_AAD), signer=signer)


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
