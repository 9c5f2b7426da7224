"""The register of what is given to somebody outside, and its only way out for positions.

Recorded by one person and, on some grounds, released by another. The driver is told at once; where
an authority ordered secrecy, on the day on which it ends.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials.model import Role
from server.disclosures import files_store, reading, store
from server.disclosures.model import (
    KEPT,
    RELEASERS,
    TWO_PERSONS,
    Act,
    Disclosure,
    DisclosureFileNotThere,
    DisclosureMissing,
    DisclosureNotYours,
    Ground,
    MadeFile,
    NewDisclosure,
    ShownDisclosure,
    State,
    next_state,
    refuse_releaser,
    refuse_unfit,
)
from server.gate.model import GateMissing
from server.kit.batches import delete_all
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Actor, Json
from server.ledger.model import Act as LedgerAct
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.model import Category as KeyCategory
from server.vault.service import Vault

TOLD_AT_ONCE_MAX: Final = 200

register = reading.register
one = reading.one
own = reading.own
count_own = reading.count_own
sealed_reads = reading.sealed_reads
still_sealed = reading.still_sealed
given_by = reading.given_by
track_of = reading.track_of


async def record(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    new: NewDisclosure,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> ShownDisclosure:
    """Record what is to be given out; nothing is given yet. Whoever may release it is told.

    Raises
    ------
    GateMissing
        There is no such driver in this company.
    DisclosureEvidenceMissing, DisclosureSealInvalid, DisclosureSpanMissing, DisclosureAbroad,
    SubjectErased
    """
    if not await accounts.is_driver(conn, company_id, new.driver_id):
        raise GateMissing
    refuse_unfit(new, now)
    disclosure_id = uuid7()
    seal = partial(vault.seal_text, company_id, row_id=disclosure_id, now=now)
    evidence = new.evidence.text()
    recorded = Disclosure(
        disclosure_id=disclosure_id,
        driver_id=new.driver_id,
        ground=new.ground,
        state=next_state(None, Act.RECORD, Role(by.kind.value)),
        categories=new.categories,
        span=new.span,
        sealed_until=new.sealed_until,
        recorded_at=now,
        recorded_by=by_member,
        evidence_sealed=await seal(
            company_id, KeyCategory.CONTACT, evidence, schema=reading.EVIDENCE_SCHEMA
        ),
        given_sealed=await seal(
            new.driver_id, KeyCategory.CONTACT, new.given, schema=reading.GIVEN_SCHEMA
        ),
    )
    await store.insert(conn, company_id, recorded)
    told = {
        "by": str(by_member),
        "ground": new.ground.value,
        "recorded_at": rfc3339(now),
    }
    for member_id in await _others(conn, company_id, new.ground, but=by_member):
        await notices.queue(
            conn, company_id, member_id, NoticeKind.DISCLOSURE_WAITING, told, now=now
        )
    await _enter(conn, company_id, LedgerAct.DISCLOSURE_RECORDED, recorded, by=by, now=now)
    return (await reading.shown(conn, vault, company_id, [recorded]))[0]


async def decide(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    disclosure_id: UUID,
    act: Act,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> ShownDisclosure:
    """Release, refuse or cancel what was recorded, once and for good.

    What is released the driver is told, unless it is sealed.

    Raises
    ------
    DisclosureMissing, DisclosureActRefused
    DisclosureSecondPerson, DisclosureNobodyElse, DisclosureReleaserUnfit
        It was to be released, and not by this person.
    DisclosureNotYours
        It was to be cancelled by somebody who did not record it.
    DisclosureFileNotThere
        The driver was erased meanwhile: nothing of theirs is given out.
    """
    found = there(await store.lock(conn, company_id, disclosure_id), DisclosureMissing)
    role = Role(by.kind.value)
    after = next_state(found.state, act, role)
    if act is Act.RELEASE:
        if found.driver_id is None:
            raise DisclosureFileNotThere
        others = await _others(conn, company_id, found.ground, but=by_member)
        refuse_releaser(found, by_member, role, others)
    elif act is Act.CANCEL and found.recorded_by != by_member:
        raise DisclosureNotYours
    decided = replace(found, state=after, decided_at=now, decided_by=by_member)
    if act is Act.RELEASE and not found.is_sealed(now):
        decided = replace(decided, told_at=now)
    await store.decide(conn, company_id, decided)
    if decided.told_at is not None:
        await _tell(conn, company_id, decided, now=now)
    await _enter(conn, company_id, _ACTS[act], decided, by=by, now=now)
    return (await reading.shown(conn, vault, company_id, [decided]))[0]


async def cancel_waiting(conn: Connection, company_id: UUID, *, by: Actor, now: datetime) -> int:
    """Cancel all that waits for its release, after a backup was restored; return how many.

    What was decided of it since the backup nobody knows, and what was refused must not be given
    out. Whoever still wants it records it anew.
    """
    found = await store.lock_waiting(conn, company_id)
    for one in found:
        cancelled = replace(one, state=State.CANCELLED, decided_at=now)
        await store.decide(conn, company_id, cancelled)
    for one in found:
        act, facts = LedgerAct.DISCLOSURE_CANCELLED, {"restored": True}
        await _enter(conn, company_id, act, one, by=by, facts=facts, now=now)
    return len(found)


async def tell_unsealed(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Tell drivers of what is sealed no more; return of how much. Due each minute.

    They see it from that moment on whether this has run or not.
    """
    found = await store.lock_untold(conn, company_id, now, limit=TOLD_AT_ONCE_MAX)
    for one in found:
        await store.set_told(conn, company_id, one.disclosure_id, now)
        await _tell(conn, company_id, one, now=now)
    for one in found:
        await _enter(conn, company_id, LedgerAct.DISCLOSURE_UNSEALED, one, by=SYSTEM, now=now)
    return len(found)


async def note_file(
    conn: Connection, company_id: UUID, made: MadeFile, *, by: Actor, now: datetime
) -> None:
    """Write down that a file was made, before anything of it leaves.

    Raises
    ------
    DisclosureFileNotThere
        The driver was erased meanwhile.
    """
    found = there(await store.lock(conn, company_id, made.disclosure_id), DisclosureMissing)
    if found.driver_id is None:
        raise DisclosureFileNotThere
    await files_store.put_file(conn, company_id, made)
    facts: dict[str, Json] = {
        "format": made.format,
        "positions": made.positions,
        "sha256": made.sha256.hex(),
    }
    await _enter(
        conn, company_id, LedgerAct.DISCLOSURE_FILE_MADE, found, by=by, facts=facts, now=now
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Let the register forget the member; return of how many disclosures they were the subject.

    The rows stay as evidence of what was given to whom, and tell no more whose data they were.
    """
    await store.forget_staff(conn, company_id, member_id)
    await store.forget_maker(conn, company_id, member_id)
    return await store.forget_driver(conn, company_id, member_id)


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    """Return how many disclosures are too old, and when the first was recorded."""
    return await store.count_before(conn, company_id, now - KEPT)


async def forget_old(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Delete what was recorded five years ago; return how many. Due each day."""
    return await delete_all(pool, company_id, partial(store.delete_before, before=now - KEPT))


_ACTS: Final[Mapping[Act, LedgerAct]] = {
    Act.RELEASE: LedgerAct.DISCLOSURE_RELEASED,
    Act.REFUSE: LedgerAct.DISCLOSURE_REFUSED,
    Act.CANCEL: LedgerAct.DISCLOSURE_CANCELLED,
}


async def _others(conn: Connection, company_id: UUID, ground: Ground, *, but: UUID) -> list[UUID]:
    """Return who beside this member could release it, where a second person has to."""
    if ground not in TWO_PERSONS:
        return []
    members = await accounts.main_users(conn, company_id)
    if Role.DISPATCHER in RELEASERS[ground]:
        members += await accounts.dispatchers(conn, company_id)
    return [one for one in members if one != but]


async def _tell(conn: Connection, company_id: UUID, found: Disclosure, *, now: datetime) -> None:
    if found.driver_id is None or found.decided_at is None:
        return
    told = {"ground": found.ground.value, "released_at": rfc3339(found.decided_at)}
    if found.sealed_until is not None:
        told["sealed_until"] = rfc3339(found.sealed_until)
    await notices.queue(
        conn,
        company_id,
        found.driver_id,
        NoticeKind.DISCLOSURE_MADE,
        told,
        now=now,
        dedupe=str(found.disclosure_id),
    )


async def _enter(
    conn: Connection,
    company_id: UUID,
    act: LedgerAct,
    about: Disclosure,
    *,
    by: Actor,
    facts: Mapping[str, Json] | None = None,
    now: datetime,
) -> None:
    # The register keeps its id when the driver is gone: in clear it would tie it to the pseudonym.
    named = about.driver_id is not None
    await ledger.append(
        conn,
        company_id,
        act,
        actor=by,
        subject_id=about.driver_id,
        detail={"disclosure_id": str(about.disclosure_id)} if named else None,
        facts={
            "ground": about.ground.value,
            "categories": [one.value for one in about.categories],
            "sealed": about.sealed_until is not None,
            **(facts or {}),
        },
        now=now,
    )
