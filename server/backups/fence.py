"""Nothing is served on a `main` from before, nor with keys from before."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.backups import keys_store, marks
from server.backups.model import Behind, Standing, counted, lost_of
from server.erasure import restoring
from server.journal import service as journal
from server.kit import db
from server.kit.db import Pool
from server.ledger import service as ledger
from server.vault.service import Vault

AT_ONCE_MAX: Final = 4
"""Companies that are compared at once: each takes a connection to either database."""


async def refuse_behind(
    pool: Pool, keys_pool: Pool, vault: Vault, companies: Sequence[UUID]
) -> None:
    """Refuse to serve where `main` lacks what the key database knows of, or the other way round.

    ``companies`` are those of `main`.

    Raises
    ------
    Behind
    """
    await refuse_not_noted(keys_pool)
    await refuse_keyless(keys_pool, companies)
    for one in await standings(pool, keys_pool, vault, companies):
        refusal = one.refusal()
        if refusal is not None:
            raise Behind(refusal)


async def refuse_not_noted(keys_pool: Pool) -> None:
    """Refuse a key database that was restored by a process that died before it had noted that.

    Raises
    ------
    Behind
    """
    if not await is_noted(keys_pool):
        raise Behind(
            "A backup of the key database was restored, and broken off before it was noted down. "
            "Run: jolda restore reconcile"
        )


async def is_noted(keys_pool: Pool) -> bool:
    """Tell whether the key database is no restored one of which that is still to be noted down."""
    async with keys_pool.acquire() as keys:
        return await marks.not_noted(keys) is None


async def refuse_keyless(keys_pool: Pool, companies: Sequence[UUID]) -> None:
    """Refuse a key database that is empty, or not ours, beside a `main` with companies.

    It knows of no act and no erasure, so nothing in it tells that anything is from before. One
    company of several without a key is no reason: it may be younger than the newest backup of the
    keys, and the others can be served.

    Raises
    ------
    Behind
    """
    for company_id in companies:
        async with db.tenant(keys_pool, company_id, readonly=True) as keys:
            if await keys_store.has_company_key(keys, company_id):
                return
    if companies:
        raise Behind(
            "The key database holds no key of any company in main: it is empty, or not the one "
            "that belongs to it. Restore its newest backup: jolda restore FOLDER --keys"
        )


async def standings(
    pool: Pool, keys_pool: Pool, vault: Vault, companies: Sequence[UUID]
) -> list[Standing]:
    """Return how each company stands, also those that only the key database has heard of."""
    everybody = sorted({*companies, *await journal.companies(keys_pool)})
    there = set(companies)
    turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(company_id: UUID) -> Standing:
        async with turns:
            return await standing(pool, keys_pool, vault, company_id, is_there=company_id in there)

    return await asyncio.gather(*map(one, everybody))


async def standing(
    pool: Pool, keys_pool: Pool, vault: Vault, company_id: UUID, *, is_there: bool
) -> Standing:
    """Compare one company's `main` with what the key database knows of it."""
    place = await journal.place(keys_pool, company_id)
    witness = await vault.witness(company_id)
    restorations = await journal.restorations(keys_pool, company_id)
    destroyed = await journal.destroyed(keys_pool, company_id)
    known = [(one.index, one.hash) for one in (place, witness) if one is not None]
    async with db.tenant(pool, company_id, readonly=True) as conn:
        head = await ledger.head(conn, company_id)
        found = {index: await ledger.hash_at(conn, company_id, index) for index, _ in known}
        erased = await restoring.erased(conn, company_id)
    return Standing(
        company_id=company_id,
        is_there=is_there,
        head=0 if head is None else head.index,
        known=max((index for index, _ in known), default=0),
        is_other=any(found[index] not in {None, one} for index, one in known),
        under_way=next((one for one in restorations if one.ended_at is None), None),
        lost=max((one.known_until for one in restorations if one.ended_at), default=0),
        undestroyed=tuple(one for one in erased if one not in destroyed),
    )


async def foretold(
    pool: Pool, keys_pool: Pool, one: Standing, *, every: bool, journal_until: datetime | None
) -> list[str]:
    """Return what would be done for a company that was restored, as sentences; nothing is done."""
    company_id = one.company_id
    if not one.is_there:
        return [f"{company_id}: made after the backup; nothing of it is left in main."]
    sentences = []
    if one.undestroyed:
        people = counted(len(one.undestroyed), "person")
        sentences.append(f"{company_id}: {people} would lose keys again.")
    if not (one.is_restored or every or journal_until is not None):
        return sentences
    begun = one.under_way
    if begun is not None and begun.resumes_at <= one.head:
        from_index, until = begun.restored_from, begun.known_until
    else:
        from_index, until = one.head, max(one.head, one.known)
    lost = await journal.acts_between(keys_pool, company_id, after=from_index, until=until)
    destroyed = await journal.destroyed(keys_pool, company_id)
    async with db.tenant(pool, company_id, readonly=True) as conn:
        states = await accounts.driver_states(conn, company_id)
        about = await journal.by_member(conn, company_id, lost)
    gone = destroyed.keys() | {
        member for member, acts in about.items() if journal.says_erased(acts)
    }
    kinds = ", ".join(sorted({one.act.value for one in lost}))
    sentences.append(
        f"{company_id}: {lost_of(from_index, until)}. Would end all shifts, sessions, invitations "
        f"and links, take over {counted(len(lost), 'act')}{f' ({kinds})' if kinds else ''}, and "
        f"erase {counted(len(states.keys() & gone), 'person')} again."
    )
    if journal_until is not None:
        sentences.append(
            f"{company_id}: would take back every consent of {counted(len(states), 'driver')}, and "
            "ask for it again."
        )
    return sentences
