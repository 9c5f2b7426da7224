"""Making the keys that subjects lack: a fleet's together, and nobody waits for another's eraser."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import KekUnusable
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.together import Together
from server.vault import store
from server.vault.model import CompanyKey, DataKey, KeyPlace, WrappedKey
from server.vault.wrapping import each_unwrapped, wrapped_new

KEYS_READ_MAX: Final = 500
"""At once, read or made: some 10 ms of wrapping or unwrapping."""
LOCK_MS_MAX: Final = 2_000
"""As long is waited for who destroys a subject, or makes the same key, and stands still."""
ALONE_MAX: Final = 2
"""Connections that may wait for a subject: most are left to those who need not."""

Queue: TypeAlias = tuple[UUID, bool]
"""Company, and whether uploads wait: the acts of people do not wait behind a fleet's."""
Subject: TypeAlias = tuple[UUID, UUID]
"""Company and subject."""
CipherOf: TypeAlias = Callable[[UUID, CompanyKey], Awaitable[AESGCM]]
"""Unwraps a company's key, which wraps the keys of its subjects."""


class _Held(Exception):
    """Somebody holds the subject just now, perhaps to destroy it."""


class Making:
    """Makes keys for one process."""

    def __init__(self, pool: Pool, cipher_of: CipherOf) -> None:
        self._pool = pool
        self._cipher_of = cipher_of
        self._together = Together[Queue, KeyPlace, DataKey](self._make, most=KEYS_READ_MAX)
        self._alone = Together[Subject, KeyPlace, DataKey](self._make_alone, most=KEYS_READ_MAX)
        """Of each subject that is held by itself: no neighbour waits behind it."""
        self._waits = asyncio.Semaphore(ALONE_MAX)

    def __len__(self) -> int:
        """Return of how many companies and subjects keys are made just now."""
        return len(self._together) + len(self._alone)

    async def key(self, queue: Queue, place: KeyPlace, at: datetime) -> DataKey | None:
        """Make the key of the time ``at``, unless there is one; None if its subject is erased.

        Raises
        ------
        KekUnusable
        TimeoutError, LockTimeout
            Somebody holds the subject for longer than is waited for.
        """
        try:
            return await self._together.get(queue, place, at)
        except _Held:
            company_id, subject_id, _, _ = place
            return await self._alone.get((company_id, subject_id), place, at)

    async def _make(
        self, queue: Queue, wanted: Mapping[KeyPlace, datetime]
    ) -> Mapping[KeyPlace, DataKey | Exception]:
        """Make the keys of those who live, and return them.

        When a month begins a whole fleet needs new ones: together they take a statement of each
        kind, not each of them a transaction. Whom somebody holds is skipped, and asked for alone.
        """
        company_id, _ = queue
        subject_ids = sorted({subject_id for _, subject_id, _, _ in wanted})
        async with db.tenant(self._pool, company_id) as conn:
            cipher = await self._cipher(conn, company_id)
            if cipher is None or isinstance(cipher, KekUnusable):
                return {} if cipher is None else dict.fromkeys(wanted, cipher)
            await store.limit_lock_wait(conn, lock_ms_max=LOCK_MS_MAX)
            free = await store.share_free_subjects(conn, company_id, subject_ids)
            skipped = [one for one in subject_ids if one not in free]
            # Looked at after the locks: who was destroyed meanwhile is gone, and not held.
            held = await store.living_subjects(conn, company_id, skipped) if skipped else set()
            of_free = {place: at for place, at in wanted.items() if place[1] in free}
            found = await _insert(conn, company_id, cipher, of_free)
        made = each_unwrapped(cipher, company_id, found)
        return {**made, **{place: _Held() for place in wanted if place[1] in held}}

    async def _make_alone(
        self, subject: Subject, wanted: Mapping[KeyPlace, datetime]
    ) -> Mapping[KeyPlace, DataKey | Exception]:
        """Make the keys of one subject; who asks for them waits for whoever holds it."""
        company_id, subject_id = subject
        try:
            async with asyncio.timeout(LOCK_MS_MAX / 1000):
                await self._waits.acquire()
        except TimeoutError as error:
            return dict.fromkeys(wanted, error)
        try:
            async with db.tenant(self._pool, company_id) as conn:
                cipher = await self._cipher(conn, company_id)
                if cipher is None or isinstance(cipher, KekUnusable):
                    return {} if cipher is None else dict.fromkeys(wanted, cipher)
                await store.limit_lock_wait(conn, lock_ms_max=LOCK_MS_MAX)
                if not await store.share_subject(conn, company_id, subject_id):
                    return {}
                found = await _insert(conn, company_id, cipher, wanted)
        except db.LockTimeout as error:
            return dict.fromkeys(wanted, error)  # of all of them: none is asked for once more
        finally:
            self._waits.release()
        return each_unwrapped(cipher, company_id, found)

    async def _cipher(self, conn: Connection, company_id: UUID) -> AESGCM | KekUnusable | None:
        """Return what wraps the keys of a company's subjects; None if there is no such company.

        As long as the transaction lasts it stays what is in force.
        """
        await store.wait_for_rewrapping(conn)
        company = await store.company_key(conn, company_id)
        if company is None:
            return None
        try:
            return await self._cipher_of(company_id, company)
        except KekUnusable as error:
            return error


async def _insert(
    conn: Connection, company_id: UUID, cipher: AESGCM, wanted: Mapping[KeyPlace, datetime]
) -> list[WrappedKey]:
    """Make the keys at these places, whose subjects the caller holds; return those in force."""
    if not wanted:
        return []
    # All processes in one order: in two they would wait for each other's keys.
    places = sorted(wanted)
    made = [wrapped_new(cipher, place) for place in places]
    await store.insert_keys(conn, company_id, made, [wanted[place] for place in places])
    # Another process may have been first: its keys are the ones.
    _, found = await store.keys_at(conn, company_id, places)
    return found
