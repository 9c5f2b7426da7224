"""The vault: keys by subject, category and period; blind indexes; destroying a subject's keys.

The key database is a server of its own, so the vault opens its own transactions there. Keys are
held unwrapped for at most 60 s. All of them are wrapped anew now and then (``server.rekeying``),
while the vault works: whoever makes a key waits for that, and whoever reads one sees it before or
after.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import KEY_BYTES, Bound, Kek, KekGone, Keks, KekUnusable, KeyDamaged
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.together import Together
from server.vault import store
from server.vault.held import Held, Monotonic
from server.vault.making import KEYS_READ_MAX, Making, Queue
from server.vault.model import (
    Category,
    CompanyKey,
    DataKey,
    KeyPlace,
    KeysNotNoted,
    LedgerWitness,
    SealedText,
    Signer,
    SubjectErased,
    WrappedKey,
    period_of,
)
from server.vault.wrapping import (
    blind_index,
    company_aad,
    each_unwrapped,
    parted,
    unwrapped_peppers,
)

_NOT_OURS: Final = "The keys in the key database were wrapped by a KEK that is not here."
OF_UPLOADS: Final = frozenset({Category.TRACK, Category.LIVE})
DAY: Final = timedelta(days=1)
READ_TRIES: Final = 3
"""A re-wrapping between reading a key and unwrapping it costs a try; two follow no sooner than
minutes."""

log = structlog.get_logger(__name__)

Read: TypeAlias = Callable[[Connection], Awaitable[tuple[CompanyKey | None, list[WrappedKey]]]]

installation = store.installation
peppers = store.peppers
signing_keys = store.signing_keys


class Vault:
    """Seals and opens for one process. Make it with ``open_vault``."""

    def __init__(
        self,
        pool: Pool,
        keks: Keks,
        kek: Kek,
        peppers: Sequence[bytes],
        *,
        signer: Signer,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._keks = keks
        self._kek = kek
        self._peppers = tuple(peppers)
        self._signer = signer
        self._monotonic = monotonic
        self._renewing_at: float | None = None
        self._told: set[UUID] = set()
        self._held = Held(monotonic)
        self._reading = Together[Queue, KeyPlace, DataKey](self._read, most=KEYS_READ_MAX)
        self._making = Making(pool, self._company_cipher)

    @property
    def keks(self) -> Keks:
        """Where the KEK is kept."""
        return self._keks

    def blind_index(self, kind: str, canonical: str) -> bytes:
        """Return the HMAC under which a phone or e-mail is stored, the same in every company."""
        return self.blind_indexes(kind, canonical)[0]

    def blind_indexes(self, kind: str, canonical: str) -> tuple[bytes, ...]:
        """Return every HMAC under which a phone or e-mail may stand, the newest first.

        There are two while the pepper is being exchanged.
        """
        return tuple(blind_index(pepper, kind, canonical) for pepper in self._peppers)

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
        async with db.tenant(self._pool, company_id) as conn:
            await store.wait_for_rewrapping(conn)
            kek = await self._kek_in_force(conn)
            key = Bound(secrets.token_bytes(KEY_BYTES), company_aad(company_id))
            (wrapped,) = await kek.wrap([key])
            await store.insert_company_key(
                conn, company_id, kek_id=kek.kek_id, wrapped=wrapped, now=now
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
        KekUnusable
            The key was changed or moved, or the KEK cannot be asked.
        TimeoutError, LockTimeout
            It has to be made, and somebody holds the subject: it is perhaps being destroyed.
        """
        place = (company_id, subject_id, category, period_of(category, at))
        held = self._held.at(place)
        if held is not None:
            return held
        forgotten = self._held.forgotten
        queue = (company_id, category in OF_UPLOADS)
        key = await self._reading.get(queue, place, at)
        if key is None:
            key = await self._making.key(queue, place, at)
        if key is None:
            raise SubjectErased
        return self._held.hold(key, forgotten)

    def held(
        self, company_id: UUID, subject_id: UUID, category: Category, *, at: datetime
    ) -> DataKey | None:
        """Return what :meth:`key` would, if it is unwrapped here just now."""
        return self._held.at((company_id, subject_id, category, period_of(category, at)))

    async def keys(self, company_id: UUID, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the keys that still exist; a destroyed one is simply not among them.

        Raises
        ------
        KeyDamaged
            One of them was changed or moved: it is not to be taken for one that was destroyed.
        """
        ready, damaged = await self._keys(company_id, key_ids)
        for one in damaged.values():
            raise one
        return ready

    async def keys_of_many(self, company_id: UUID, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the keys that still exist and can be used, for what is shown of several people.

        A damaged one costs only whose it is. Who does something for good where a key is not there
        asks :meth:`keys`.
        """
        ready, damaged = await self._keys(company_id, key_ids)
        untold = damaged.keys() - self._told
        if untold:  # once in a process: lists are asked for again and again
            self._told |= untold
            log.error("data_keys_damaged", company=str(company_id), count=len(untold))
        return ready

    async def _keys(
        self, company_id: UUID, key_ids: Iterable[UUID]
    ) -> tuple[dict[UUID, DataKey], dict[UUID, KeyDamaged]]:
        wanted = set(key_ids)
        ready = self._held.of(company_id, wanted)
        missing = sorted(wanted - ready.keys())
        if not missing:
            return ready, {}
        forgotten = self._held.forgotten
        read = partial(store.keys_by_id, company_id=company_id, key_ids=missing)
        cipher, found = await self._read_beside_company(company_id, read)
        usable, damaged = parted(cipher, company_id, found)
        ready |= {key.key_id: self._held.hold(key, forgotten) for key in usable}
        return ready, damaged

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
        self, company_id: UUID, items: Sequence[SealedText | None], *, of_many: bool = False
    ) -> list[str | None]:
        """Open many texts with one look-up; None where the key is gone or there was no text.

        ``of_many``: they are of several people, and None as well where a key is damaged.

        Raises
        ------
        KeyDamaged
            See :meth:`keys`.
        InvalidTag
            A text was changed or moved.
        """
        read = self.keys_of_many if of_many else self.keys
        keys = await read(company_id, (item.key_id for item in items if item is not None))
        return [None if item is None else item.text(keys.get(item.key_id)) for item in items]

    async def destroy_live(self, company_id: UUID, now: datetime) -> int:
        """Destroy the keys of live positions of the days before yesterday; return how many."""
        return await self.destroy_before(company_id, Category.LIVE, now - DAY)

    async def count_live(self, company_id: UUID, now: datetime) -> int:
        """Return how many keys of live positions there are of the days before yesterday."""
        return await self.count_before(company_id, Category.LIVE, now - DAY)

    async def destroy_before(
        self, company_id: UUID, category: Category, at: datetime, spared: Collection[UUID] = ()
    ) -> int:
        """Destroy the keys of a category of the periods before that time's; return how many.

        Of every subject but those who are ``spared``: something of theirs is still sealed so.
        """
        async with db.tenant(self._pool, company_id) as conn:
            await store.wait_for_rewrapping(conn)
            period = period_of(category, at)
            destroyed = await store.delete_keys_before(
                conn, company_id, category=category, period=period, spared=spared
            )
        self._held.forget_keys(company_id, destroyed)
        return len(destroyed)

    async def count_before(
        self, company_id: UUID, category: Category, at: datetime, spared: Collection[UUID] = ()
    ) -> int:
        """Return how many :meth:`destroy_before` would destroy."""
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            period = period_of(category, at)
            return await store.count_keys_before(
                conn, company_id, category=category, period=period, spared=spared
            )

    async def key_ids(
        self, company_id: UUID, subject_id: UUID, categories: Collection[Category] = tuple(Category)
    ) -> list[UUID]:
        """Return which keys a subject has; nothing is unwrapped."""
        async with db.tenant(self._pool, company_id, readonly=True) as conn:
            return await store.key_ids(conn, company_id, subject_id, categories)

    async def destroy_some(
        self, company_id: UUID, subject_id: UUID, key_ids: Collection[UUID]
    ) -> None:
        """Destroy these keys of a subject who keeps the others. Idempotent."""
        async with db.tenant(self._pool, company_id) as conn:
            await store.wait_for_rewrapping(conn)
            await store.delete_some_keys(conn, company_id, subject_id, key_ids)
        self.forget(company_id, subject_id)

    async def destroy(
        self,
        company_id: UUID,
        subject_id: UUID,
        now: datetime,
        *,
        noted: Collection[UUID] | None = None,
    ) -> int:
        """Destroy every key of a subject for good; return how many there were. Idempotent.

        Raises
        ------
        KeysNotNoted
            There is one that is not among the ``noted`` ones: none was destroyed.
        """
        async with db.tenant(self._pool, company_id) as conn:
            await store.wait_for_rewrapping(conn)
            # The subject first: whoever makes a key holds it FOR SHARE until that key is there.
            await store.destroy_subject(conn, company_id, subject_id, now)
            destroyed = await store.delete_keys(conn, company_id, subject_id)
            if noted is not None and not destroyed <= set(noted):
                raise KeysNotNoted
        self.forget(company_id, subject_id)
        return len(destroyed)

    def forget(self, company_id: UUID, subject_id: UUID) -> None:
        """Drop a subject's unwrapped keys from memory, also those that are on their way there."""
        self._held.forget(company_id, subject_id)

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
        self._held.evict()

    def was_renewed_within(self, seconds: float) -> bool:
        """Tell whether :meth:`renew` was tried that lately."""
        return self._renewing_at is not None and self._monotonic() - self._renewing_at < seconds

    async def renew(self) -> None:
        """Take over what others changed: the KEK in force, and the peppers.

        Raises
        ------
        KekUnusable
        """
        self._renewing_at = self._monotonic()
        for _ in range(READ_TRIES):
            async with self._pool.acquire() as conn:
                found = await store.peppers(conn)
            with suppress(KekGone):
                await self._follow(found[0].kek_id)
                self._peppers = await unwrapped_peppers(self._kek, found)
                return
        raise KekUnusable(_NOT_OURS)

    async def _read(
        self, queue: Queue, wanted: Mapping[KeyPlace, datetime]
    ) -> Mapping[KeyPlace, DataKey | Exception]:
        """Return the keys that there are at these places: a fleet asks for all of its at once."""
        company_id, _ = queue
        read = partial(store.keys_at, company_id=company_id, places=list(wanted))
        try:
            cipher, found = await self._read_beside_company(company_id, read)
        except (SubjectErased, KekUnusable) as error:
            return dict.fromkeys(wanted, error)  # of all of them, so nobody is looked for
        return each_unwrapped(cipher, company_id, found)

    async def _read_beside_company(
        self, company_id: UUID, read: Read
    ) -> tuple[AESGCM, list[WrappedKey]]:
        """Return the company's key, ready to unwrap, and what was read together with it."""
        for _ in range(READ_TRIES):
            async with db.tenant(self._pool, company_id, readonly=True) as conn:
                company, found = await read(conn)
            if company is None:
                raise SubjectErased
            with suppress(KekGone):
                return await self._company_cipher(company_id, company), found
        raise KekUnusable(_NOT_OURS)

    async def _company_cipher(self, company_id: UUID, company: CompanyKey) -> AESGCM:
        held = self._held.company(company_id, company.wrapped)
        if held is not None:
            return held
        await self._follow(company.kek_id)
        (key,) = await self._kek.unwrap([Bound(company.wrapped, company_aad(company_id))])
        cipher = AESGCM(key)
        self._held.hold_company(company_id, company.wrapped, cipher)
        return cipher

    async def _kek_in_force(self, conn: Connection) -> Kek:
        """Return the KEK in force; the caller keeps it from being exchanged."""
        found = await store.peppers(conn)
        await self._follow(found[0].kek_id)
        return self._kek

    async def _follow(self, kek_id: bytes) -> None:
        if kek_id != self._kek.kek_id:
            self._kek = await self._keks.in_force(kek_id)
