"""Incidents: from the first report to the last notice, with a clock for what the law gives.

Whom an incident affects is computed and written down as a list that only grows; its hash stands in
the ledger. Each member in it is told once, by a job that a crash only delays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts import service as accounts
from server.credentials.model import Role
from server.incidents import affected, seen_store, store
from server.incidents.model import (
    KEPT,
    Act,
    Affected,
    Assessment,
    Counts,
    Incident,
    IncidentMissing,
    IncidentNotifiedAlready,
    Scope,
    added,
    clocks_of,
    list_hash,
    next_state,
    refuse_noticed,
    refuse_unfinished,
    refuse_unfit,
)
from server.kit import cursors
from server.kit.batches import delete_all
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act as LedgerAct
from server.ledger.model import Actor, Json
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.reads.retention import reads_kept_since
from server.vault.model import Category, SealedText
from server.vault.service import Vault

WHAT_SCHEMA: Final = "incident.what"
REFERENCE_SCHEMA: Final = "incident.reference"
OUTCOME_SCHEMA: Final = "incident.outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An incident as a main user reads it."""

    incident: Incident
    what: str = field(repr=False)
    reference: str | None = field(repr=False)
    outcome: str | None = field(repr=False)
    reported_by: str | None = field(repr=False)
    counts: Counts
    assessments: Sequence[Assessment] = ()


async def report(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    what: str,
    *,
    noticed_at: datetime | None,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> Incident:
    """Open an incident: its clocks run from when it was noticed, and the main users are told.

    Raises
    ------
    IncidentSpanInvalid
    """
    noticed = noticed_at or now
    refuse_noticed(noticed, now)
    role = Role(by.kind.value)
    zone = ZoneInfo((await accounts.company(conn, company_id)).time_zone)
    authority, members = clocks_of(noticed, zone)
    incident_id = uuid7()
    opened = Incident(
        incident_id=incident_id,
        state=next_state(None, Act.REPORT, role),
        reported_by=by_member,
        reported_role=role,
        noticed_at=noticed,
        recorded_at=now,
        authority=authority,
        members=members,
        what_sealed=await _seal(vault, company_id, incident_id, what, WHAT_SCHEMA, now),
    )
    await store.insert(conn, company_id, opened)
    told = {
        "by_role": role.value,
        "noticed_at": rfc3339(noticed),
        "due_at": rfc3339(authority.due_at),
    }
    await notices.queue_for_main_users(
        conn, company_id, NoticeKind.INCIDENT_OPENED, told, but=by_member, now=now
    )
    facts = {"noticed_at": rfc3339(noticed), "authority_due_at": rfc3339(authority.due_at)}
    await enter(conn, company_id, LedgerAct.INCIDENT_OPENED, opened, by=by, facts=facts, now=now)
    return opened


async def preview(
    conn: Connection, company_id: UUID, incident_id: UUID, scope: Scope, *, now: datetime
) -> tuple[int, int, int]:
    """Return whom an assessment would find, how many of them are new, and how many were erased.

    Raises
    ------
    IncidentMissing, IncidentSourceInvalid, IncidentSpanInvalid
    """
    there(await store.get(conn, company_id, incident_id), IncidentMissing)
    refuse_unfit(scope, kept_since=reads_kept_since(now), now=now)
    found = await affected.find(conn, company_id, scope, now)
    new = added(found, await store.listed(conn, company_id, incident_id))
    return len(found.members), len(new), len(found.erased)


async def assess(
    conn: Connection,
    company_id: UUID,
    incident_id: UUID,
    scope: Scope,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> Assessment:
    """Compute who is affected and add them to the list; who was in it before stays as they were.

    Raises
    ------
    IncidentMissing, IncidentActRefused, IncidentSourceInvalid, IncidentSpanInvalid
    """
    incident = there(await store.lock(conn, company_id, incident_id), IncidentMissing)
    after = next_state(incident.state, Act.ASSESS, Role(by.kind.value))
    refuse_unfit(scope, kept_since=reads_kept_since(now), now=now)
    found = await affected.find(conn, company_id, scope, now)
    known = await store.listed(conn, company_id, incident_id)
    new = added(found, known)
    rounds = await store.assessments(conn, company_id, incident_id)
    assessed = Assessment(
        round=len(rounds) + 1,
        scope=scope,
        assessed_at=now,
        assessed_by=by_member,
        found=len(found.members),
        added=len(new),
        erased=len(found.erased),
        list_hash=list_hash(company_id, incident_id, known | new.keys()),
    )
    await store.insert_assessment(conn, company_id, incident_id, assessed)
    await store.add_members(conn, company_id, incident_id, new, in_round=assessed.round)
    await store.update(conn, company_id, replace(incident, state=after))
    facts: dict[str, Json] = {
        "round": assessed.round,
        "source": scope.source.value,
        "found": assessed.found,
        "added": assessed.added,
        "erased": assessed.erased,
        "list": assessed.list_hash.hex(),
    }
    await enter(
        conn, company_id, LedgerAct.INCIDENT_ASSESSED, incident, by=by, facts=facts, now=now
    )
    return assessed


async def notify_authority(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    incident_id: UUID,
    *,
    reference: str,
    notified_at: datetime,
    by: Actor,
    now: datetime,
) -> None:
    """Write down that the authority was notified: its clock stops.

    Raises
    ------
    IncidentMissing, IncidentActRefused, IncidentNotifiedAlready, IncidentSpanInvalid
    """
    incident = there(await store.lock(conn, company_id, incident_id), IncidentMissing)
    after = next_state(incident.state, Act.NOTIFY, Role(by.kind.value))
    if incident.notified_at is not None:
        raise IncidentNotifiedAlready
    refuse_noticed(notified_at, now)
    sealed = await _seal(vault, company_id, incident_id, reference, REFERENCE_SCHEMA, now)
    changed = replace(incident, state=after, notified_at=notified_at, reference_sealed=sealed)
    await store.update(conn, company_id, changed)
    facts: dict[str, Json] = {
        "notified_at": rfc3339(notified_at),
        "in_time": notified_at <= incident.authority.due_at,
    }
    await enter(conn, company_id, LedgerAct.INCIDENT_NOTIFIED, changed, by=by, facts=facts, now=now)


async def end(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    incident_id: UUID,
    act: Act,
    *,
    outcome: str,
    by: Actor,
    now: datetime,
) -> None:
    """Close an incident when all is done, or dismiss one that was none; why stands in it.

    Raises
    ------
    IncidentMissing, IncidentActRefused
    IncidentUnfinished
        It was to be closed, and somebody is not told yet.
    """
    incident = there(await store.lock(conn, company_id, incident_id), IncidentMissing)
    after = next_state(incident.state, act, Role(by.kind.value))
    if act is Act.CLOSE:
        refuse_unfinished(incident, await counts(conn, company_id, incident_id))
    sealed = await _seal(vault, company_id, incident_id, outcome, OUTCOME_SCHEMA, now)
    ended = replace(incident, state=after, ended_at=now, outcome_sealed=sealed)
    await store.update(conn, company_id, ended)
    what = LedgerAct.INCIDENT_CLOSED if act is Act.CLOSE else LedgerAct.INCIDENT_DISMISSED
    await enter(conn, company_id, what, ended, by=by, now=now)


async def counts(conn: Connection, company_id: UUID, incident_id: UUID) -> Counts:
    """Return how far those who are affected are told."""
    kind = NoticeKind.INCIDENT_AFFECTED
    return await seen_store.counts(conn, company_id, incident_id, kind, str(incident_id))


async def register(
    conn: Connection, vault: Vault, company_id: UUID, *, cursor: str | None, limit: int
) -> tuple[list[Shown], str | None]:
    """Return a page of the register, the newest first, and the next cursor.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else cursors.place_of(cursor)
    found = await store.page(conn, company_id, before=before, limit=limit + 1)
    page, following = cursors.page_of(found, limit, lambda one: cursors.cursor_of(one.incident_id))
    return [await _shown(conn, vault, company_id, one) for one in page], following


async def one(conn: Connection, vault: Vault, company_id: UUID, incident_id: UUID) -> Shown:
    """Return an incident with its assessments.

    Raises
    ------
    IncidentMissing
    """
    found = there(await store.get(conn, company_id, incident_id), IncidentMissing)
    rounds = await store.assessments(conn, company_id, incident_id)
    return replace(await _shown(conn, vault, company_id, found), assessments=rounds)


async def affected_members(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    incident_id: UUID,
    *,
    cursor: str | None,
    limit: int,
) -> tuple[list[Affected], str | None]:
    """Return a page of who is affected and was not erased since, and the next cursor.

    Raises
    ------
    IncidentMissing, CursorInvalid
    """
    there(await store.get(conn, company_id, incident_id), IncidentMissing)
    rows = await seen_store.members(
        conn,
        company_id,
        incident_id,
        NoticeKind.INCIDENT_AFFECTED,
        str(incident_id),
        after=cursors.place_of(cursor),
        limit=limit + 1,
    )
    page, following = cursors.page_of(rows, limit, lambda one: cursors.cursor_of(one.member_id))
    names = await accounts.names(conn, vault, company_id, [one.member_id for one in page])
    return [replace(one, name=names.get(one.member_id)) for one in page], following


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Let no incident name the member; return in how many lists they were.

    The lists keep a pseudonym that is nobody's then: so their hashes can still be compared.
    """
    await store.forget_reporter(conn, company_id, member_id)
    await store.forget_source(conn, company_id, member_id)
    return await store.forget_member(conn, company_id, member_id)


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    """Return how many incidents are over and too old, and when the first was recorded."""
    return await store.count_before(conn, company_id, now - KEPT)


async def forget_old(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Delete what is over and was recorded five years ago; return how many. Due each day."""
    return await delete_all(pool, company_id, partial(store.delete_before, before=now - KEPT))


async def _seal(
    vault: Vault, company_id: UUID, incident_id: UUID, text: str, schema: str, now: datetime
) -> bytes:
    return await vault.seal_text(
        company_id, company_id, Category.CONTACT, text, row_id=incident_id, schema=schema, now=now
    )


async def _shown(conn: Connection, vault: Vault, company_id: UUID, found: Incident) -> Shown:
    texts = await vault.open_texts(
        company_id,
        [
            None
            if sealed is None
            else SealedText(sealed=sealed, row_id=found.incident_id, schema=schema)
            for sealed, schema in (
                (found.what_sealed, WHAT_SCHEMA),
                (found.reference_sealed, REFERENCE_SCHEMA),
                (found.outcome_sealed, OUTCOME_SCHEMA),
            )
        ],
    )
    names: Mapping[UUID, str] = {}
    if found.reported_by is not None:
        names = await accounts.names(conn, vault, company_id, [found.reported_by])
    return Shown(
        incident=found,
        what=texts[0] or "",
        reference=texts[1],
        outcome=texts[2],
        reported_by=None if found.reported_by is None else names.get(found.reported_by),
        counts=await counts(conn, company_id, found.incident_id),
    )


async def enter(
    conn: Connection,
    company_id: UUID,
    act: LedgerAct,
    about: Incident,
    *,
    by: Actor,
    facts: Mapping[str, Json] | None = None,
    now: datetime,
) -> None:
    await ledger.append(
        conn,
        company_id,
        act,
        actor=by,
        subject_id=None,
        facts={"incident_id": str(about.incident_id), **(facts or {})},
        now=now,
    )
