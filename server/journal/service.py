"""Acts that took something away, once more in the key database.

The ledger is the outbox: such an act has an entry there, written in its own transaction. Each entry
is copied after the commit and before the answer; what could not be copied then, a job copies within
a minute. A `main` that is restored from before the act meets it again there.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from server.journal import store
from server.journal.model import NEGATIVE, RESUMES_AFTER, NegativeAct, Restoration
from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import Act, Place

PAGE: Final = 2_000


class Journal:
    """The journals of all companies, as one process writes them."""

    def __init__(self, pool: Pool, keys_pool: Pool) -> None:
        self._pool = pool
        self._keys_pool = keys_pool
        self._copied: dict[UUID, int] = {}
        """Up to where we copied ourselves: others may be further, never less far."""

    async def copy(self, company_id: UUID, now: datetime) -> int:
        """Copy what was taken away since the last time; return how many acts. Idempotent."""
        after = self._copied.get(company_id)
        if after is None:
            async with db.tenant(self._keys_pool, company_id, readonly=True) as keys:
                known = await store.place(keys, company_id)
            after = 0 if known is None else known.index
        count = 0
        while True:
            async with db.tenant(self._pool, company_id, readonly=True) as conn:
                head = await ledger.head(conn, company_id)
                if head is None or head.index <= after:
                    break
                found = await ledger.entries_after(
                    conn, company_id, NEGATIVE, after=after, until=head.index, limit=PAGE
                )
            # A full page may not be the last: the place is the last one's of what was read.
            is_last = len(found) < PAGE
            last = found[-1] if found else None
            place = head if is_last or last is None else Place(index=last[0].index, hash=last[1])
            acts = [NegativeAct.of(entry) for entry, _ in found]
            async with db.tenant(self._keys_pool, company_id) as keys:
                if acts:
                    await store.insert(keys, company_id, acts)
                await store.keep_place(keys, company_id, place, now)
            after = self._copied[company_id] = place.index
            count += len(acts)
            if is_last:
                break
        return count


async def companies(keys_pool: Pool) -> list[UUID]:
    """Return every company that the key database ever heard of an act of."""
    async with keys_pool.acquire() as keys:
        return await store.companies(keys)


async def heard_at(keys_pool: Pool) -> datetime:
    """Return when the key database last heard of an act; of none, a time before all."""
    async with keys_pool.acquire() as keys:
        return await store.heard_at(keys) or datetime.fromtimestamp(0, UTC)


async def place(keys_pool: Pool, company_id: UUID) -> Place | None:
    """Return up to where the company's ledger is known to have come."""
    async with db.tenant(keys_pool, company_id, readonly=True) as keys:
        return await store.place(keys, company_id)


async def acts_between(
    keys_pool: Pool, company_id: UUID, *, after: int, until: int
) -> list[NegativeAct]:
    """Return what was taken away after one entry and not after another, in order."""
    found: list[NegativeAct] = []
    async with db.tenant(keys_pool, company_id, readonly=True) as keys:
        while page := await store.acts(keys, company_id, after=after, until=until, limit=PAGE):
            found.extend(page)
            after = page[-1].index
    return found


async def by_member(
    conn: Connection, company_id: UUID, acts: Sequence[NegativeAct]
) -> dict[UUID, list[NegativeAct]]:
    """Return the acts by the member they are about; who is not in this `main` is left out."""
    pseudonyms = {one.subject_id for one in acts if one.subject_id is not None}
    members = await ledger.members_of(conn, company_id, pseudonyms)
    about: dict[UUID, list[NegativeAct]] = defaultdict(list)
    for one in acts:
        if one.subject_id in members:
            about[members[one.subject_id]].append(one)
    return about


def says_erased(acts: Sequence[NegativeAct]) -> bool:
    """Tell whether one of the acts is the end of an erasure."""
    return any(one.act is Act.MEMBER_ERASED for one in acts)


async def restorations(keys_pool: Pool, company_id: UUID) -> list[Restoration]:
    """Return what was ever restored of the company's, in the order of its ledger."""
    async with db.tenant(keys_pool, company_id, readonly=True) as keys:
        return await store.restorations(keys, company_id)


async def begin_restoration(
    keys_pool: Pool,
    company_id: UUID,
    *,
    restored_from: int,
    known_until: int,
    journal_until: datetime | None = None,
    now: datetime,
) -> Restoration:
    """Note that a `main` of before was restored; nothing is served until that is ended. Idempotent.

    If it is noted already, and another backup was restored since, the note follows that.
    ``journal_until`` says that the journal was restored as well, and up to when it is whole.
    """
    async with db.tenant(keys_pool, company_id) as keys:
        noted = await store.restorations(keys, company_id)
        found = _under_way(noted)
        if found is not None and found.journal_until is not None:
            journal_until = min(found.journal_until, journal_until or found.journal_until)
        if found is not None and found.is_overtaken(head=restored_from, known_until=known_until):
            await store.end_restoration(keys, company_id, found.resumes_at, now)
            found = None
        if found is None:
            known_until = max(known_until, restored_from)
            # Whose company was given up, because a backup was older than it, never went on there.
            taken = max((one.resumes_at for one in noted), default=0)
            begun = Restoration(
                restored_from=restored_from,
                known_until=known_until,
                resumes_at=max(known_until, taken) + RESUMES_AFTER,
                begun_at=now,
                journal_until=journal_until,
            )
            await store.insert_restoration(keys, company_id, begun)
            return begun
        moved = replace(found, journal_until=journal_until)
        if restored_from < found.resumes_at:
            moved = moved.moved(restored_from=restored_from, known_until=known_until)
        if moved != found:
            await store.move_restoration(keys, company_id, moved)
        return moved


async def end_restoration(
    keys_pool: Pool, company_id: UUID, restored: Restoration, now: datetime
) -> None:
    """Note that everything was taken away again: the company may be served."""
    async with db.tenant(keys_pool, company_id) as keys:
        await store.end_restoration(keys, company_id, restored.resumes_at, now)


async def destroyed(keys_pool: Pool, company_id: UUID) -> dict[UUID, datetime]:
    """Return by subject when its keys were destroyed."""
    async with db.tenant(keys_pool, company_id, readonly=True) as keys:
        return await store.destroyed(keys, company_id)


def _under_way(found: list[Restoration]) -> Restoration | None:
    return next((one for one in found if one.ended_at is None), None)
