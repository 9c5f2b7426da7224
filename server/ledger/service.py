"""Writing to the ledger, and what shows to people outside that it was not rewritten.

An act writes its entries in its own transaction, after whatever it may have to wait for: the head
of the company's chain is locked from the first of them to the commit. Nothing here but
:func:`enrol` and :func:`keep_checkpoint` asks the key database, so a withdrawal is written also
while that is down.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import model, store
from server.ledger.model import (
    Act,
    Actor,
    Checkpoint,
    Entry,
    Inclusion,
    Json,
    Place,
    Subject,
    checkpoint_statement,
    genesis,
    link,
)
from server.vault.model import Category, LedgerWitness, SubjectErased
from server.vault.service import Vault

CHECKPOINT_EVERY: Final = timedelta(minutes=10)
CHECKPOINT_ENTRIES_MAX: Final = 1_000
"""Checkpoints are no further apart; so many new entries get one also before its time."""
LEFT_OUT_A_RUN: Final = 20
"""How many checkpoints that an earlier release left out one run adds: a second of work, for which
20,000 entries are read."""


async def enrol(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID, now: datetime
) -> None:
    """Give a member a random pseudonym and the public key that details are sealed to. Idempotent.

    Raises
    ------
    SubjectErased
        The member's keys were destroyed.
    """
    known = (await store.subjects(conn, company_id, [member_id])).get(member_id)
    if known is not None and known.public_key is not None:
        return
    key = await vault.key(company_id, member_id, Category.LEDGER, at=now)
    public_key = model.private_key_of(key).public_key().public_bytes_raw()
    # A uuid v7 would tell when the member joined, and so who it is.
    subject = Subject(member_id=member_id, pseudonym=uuid4(), public_key=public_key)
    await store.enrol(conn, company_id, subject, now)


async def enrol_missing(pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> int:
    """Enrol the members who joined before there was a ledger; return how many."""
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await store.members_without_key(conn, company_id)
    for member_id in waiting:
        with suppress(SubjectErased):
            async with db.tenant(pool, company_id) as conn:
                await enrol(conn, vault, company_id, member_id, now)
    return len(waiting)


async def append(
    conn: Connection,
    company_id: UUID,
    act: Act,
    *,
    actor: Actor,
    subject_id: UUID | None,
    detail: Mapping[str, Json] | None = None,
    facts: Mapping[str, Json] | None = None,
    now: datetime,
) -> Place:
    """Write an act down in the caller's transaction; return its place.

    All of the company's acts wait from here to the commit, so the caller waits for nobody after it:
    it holds every lock that it needs by now, and asks no other system.

    ``detail`` is sealed so that only the subject's own key opens it. ``facts`` are plain and hold
    codes, counts and hashes, never anything of a person. Somebody who is no member (any more) is
    left out, and a detail that nobody could open is not kept: the facts say so. The act itself
    never fails for that.
    """
    if detail is not None and subject_id is None:
        raise ValueError("a detail is sealed to somebody")
    people = {one for one in (actor.member_id, subject_id) if one is not None}
    known = await pseudonyms(conn, company_id, people, now)
    subject = None if subject_id is None else known.get(subject_id)
    by_member = None if actor.member_id is None else known.get(actor.member_id)
    plain = dict(facts or {})
    sealed = None
    if detail is not None:
        if subject is None or subject.public_key is None:
            plain["detail"] = "no_key"
        else:
            sealed = model.seal_detail(
                subject.public_key,
                detail,
                company_id=company_id,
                subject_id=subject.pseudonym,
                act=act,
                at=now,
            )
    head = await _locked_head(conn, company_id)
    entry = Entry(
        company_id=company_id,
        index=head.index + 1,
        recorded_at=now,
        act=act.value,
        actor_kind=actor.kind.value,
        actor_id=actor.reference_id if by_member is None else by_member.pseudonym,
        subject_id=None if subject is None else subject.pseudonym,
        detail_sealed=sealed,
        facts=model.facts_text(plain),
    )
    place = Place(index=entry.index, hash=link(head.hash, entry.digest()))
    await store.append(conn, entry, place.hash)
    return place


async def leave_out(conn: Connection, company_id: UUID, *, until: int) -> bool:
    """Let the next entry stand at a later index, after a `main` of before was restored.

    What stood between is lost, and no index of it is given twice. False where the chain is there
    already.
    """
    head = await _locked_head(conn, company_id)
    if head.index >= until:
        return False
    await store.move_head(conn, company_id, until - 1)
    return True


async def subjects(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID]
) -> dict[UUID, Subject]:
    """Return by member how the ledger knows them; nothing of who was never written of."""
    return await store.subjects(conn, company_id, member_ids)


async def members_of(
    conn: Connection, company_id: UUID, pseudonyms: Collection[UUID]
) -> dict[UUID, UUID]:
    """Return by pseudonym whose it is; nothing of who was erased."""
    return await store.members_of(conn, company_id, pseudonyms)


async def pseudonyms(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID], now: datetime
) -> dict[UUID, Subject]:
    """Return by member how the ledger knows them, giving a pseudonym to who has none yet.

    Who is no member is not among them.
    """
    known = await store.subjects(conn, company_id, member_ids) if member_ids else {}
    missing = sorted(set(member_ids) - known.keys())
    if missing:
        await store.insert_subjects(conn, company_id, [(one, uuid4()) for one in missing], now)
        known |= await store.subjects(conn, company_id, missing)
    return known


async def checkpoint(
    conn: Connection, vault: Vault, company_id: UUID, now: datetime
) -> Checkpoint | None:
    """Sign what the chain is now; return the statement, None where nothing was ever written.

    Also what it was at every thousandth entry since the last checkpoint: so no proof of inclusion
    is longer than that, however many entries a minute brings. An act signs nothing itself. The key
    is in memory: no other database is asked.
    """
    head = await store.head(conn, company_id)
    if head is None or head.index == 0:
        return None
    last = await store.last_checkpoint(conn, company_id)
    signed = 0 if last is None else last.index
    if last is not None and signed >= head.index:
        return last
    step = CHECKPOINT_ENTRIES_MAX
    between = range(signed - signed % step + step, head.index, step)
    for place in await store.places(conn, company_id, between) if between else ():
        await store.insert_checkpoint(conn, _signed(vault, company_id, place, now))
    made = _signed(vault, company_id, head, now)
    await store.insert_checkpoint(conn, made)
    return made


async def keep_checkpoint(pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> None:
    """Make a checkpoint where one is due, and tell the key database how far the ledger is.

    What an earlier release left unsigned between two checkpoints is signed as well.
    """
    async with db.tenant(pool, company_id) as conn:
        head = await store.head(conn, company_id)
        last = await store.last_checkpoint(conn, company_id)
        if head is not None and _is_due(head, last, now):
            last = await checkpoint(conn, vault, company_id, now)
    if last is None:
        return
    witness = LedgerWitness(index=last.index, hash=last.hash)
    await vault.keep_witness(company_id, witness, now)
    # By itself: what cannot be read among the old entries must not keep new ones from being signed.
    async with db.tenant(pool, company_id) as conn:
        await _sign_left_out(conn, vault, company_id, last, now)


async def place_of(conn: Connection, company_id: UUID, index: int) -> Inclusion | None:
    """Return how an entry leads to the first checkpoint after it; None while there is none.

    For an entry of just now call :func:`checkpoint` first.
    """
    signed = await store.first_checkpoint_from(conn, company_id, index)
    if signed is None:
        return None
    found = await store.entries(conn, company_id, after=index - 1, limit=1)
    if not found or found[0][0].index != index:
        return None
    place = Place(index=index, hash=found[0][1])
    way = signed.index - index
    later = await store.entries(conn, company_id, after=index, limit=way) if way else []
    if len(later) < way:
        return None
    digests = tuple(entry.digest() for entry, _ in later)
    return Inclusion(place=place, later=digests, checkpoint=signed)


async def entry_at(
    conn: Connection, company_id: UUID, index: int
) -> tuple[Entry, bytes | None, Inclusion] | None:
    """Return an entry, the chain's hash before it, and how it leads to a checkpoint.

    None where there is no such entry, or no checkpoint yet; no hash before the first entry.
    """
    inclusion = await place_of(conn, company_id, index)
    if inclusion is None:
        return None
    found = await store.entries(conn, company_id, after=max(index - 2, 0), limit=min(index, 2))
    before = found[0][1] if len(found) > 1 else None
    return found[-1][0], before, inclusion


async def entries_about(
    conn: Connection, company_id: UUID, member_id: UUID, *, after: int = 0, limit: int
) -> list[Entry]:
    """Return what was written about a member, in order, beginning after an index."""
    known = (await store.subjects(conn, company_id, [member_id])).get(member_id)
    if known is None:
        return []
    return await store.entries_about(conn, company_id, known.pseudonym, after=after, limit=limit)


async def head(conn: Connection, company_id: UUID) -> Place | None:
    """Return the end of the chain; None where nothing was ever written."""
    return await store.head(conn, company_id)


async def hash_at(conn: Connection, company_id: UUID, index: int) -> bytes | None:
    """Return the chain's hash at an entry; None where there is no such entry."""
    found = await store.places(conn, company_id, [index])
    return found[0].hash if found else None


async def entries_after(
    conn: Connection, company_id: UUID, acts: Collection[Act], *, after: int, until: int, limit: int
) -> list[tuple[Entry, bytes]]:
    """Return entries of these acts between two places, in order, each with the chain's hash."""
    return await store.entries_after(conn, company_id, acts, after=after, until=until, limit=limit)


async def count_about(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Return how many entries were written about a member."""
    known = (await store.subjects(conn, company_id, [member_id])).get(member_id)
    return 0 if known is None else await store.count_about(conn, company_id, known.pseudonym)


async def entries_of(
    conn: Connection, company_id: UUID, acts: Collection[Act]
) -> list[tuple[str, UUID | None, str]]:
    """Return of each entry of these acts the act, the subject's pseudonym and the facts."""
    return await store.entries_of(conn, company_id, acts)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Forget whose pseudonym it was; return the number of rows. Before the member's own row.

    The entries stay, under a pseudonym that only copies from before connect with the member. Their
    details open for nobody once the member's keys are destroyed.
    """
    return await store.delete_subject(conn, company_id, member_id)


async def _locked_head(conn: Connection, company_id: UUID) -> Place:
    head = await store.lock_head(conn, company_id)
    if head is None:
        await store.insert_head(conn, company_id, Place(index=0, hash=genesis(company_id)))
        head = await store.lock_head(conn, company_id)
    if head is None:
        raise RuntimeError("the ledger's head is not visible: which company is this transaction?")
    return head


async def _sign_left_out(
    conn: Connection, vault: Vault, company_id: UUID, last: Checkpoint, now: datetime
) -> None:
    """Sign thousandth entries before the last checkpoint that have none, the last of them first.

    Each only if it leads to the checkpoint after it: nothing is signed that was not signed by
    that already. While later checkpoints stand, a history written anew gets no signature.
    """
    missing = await store.unsigned(
        conn, company_id, step=CHECKPOINT_ENTRIES_MAX, before=last.index, limit=LEFT_OUT_A_RUN
    )
    for index in missing:
        shown = await place_of(conn, company_id, index)
        if shown is None or not shown.holds(vault.public_keys()):
            continue
        await store.insert_checkpoint(conn, _signed(vault, company_id, shown.place, now))


def _signed(vault: Vault, company_id: UUID, place: Place, now: datetime) -> Checkpoint:
    statement = checkpoint_statement(company_id, place.index, place.hash, now)
    return Checkpoint(
        company_id=company_id,
        index=place.index,
        hash=place.hash,
        made_at=now,
        key_id=vault.signing_key_id,
        signature=vault.sign(statement),
    )


def _is_due(head: Place, last: Checkpoint | None, now: datetime) -> bool:
    if last is None:
        return head.index > 0
    new = head.index - last.index
    return new >= CHECKPOINT_ENTRIES_MAX or (new > 0 and now - last.made_at >= CHECKPOINT_EVERY)
