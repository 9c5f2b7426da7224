"""Writing one act on one consent: the gate, the shift and window, the ledger, the record."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.clarifications import service as clarifications
from server.consent import record, store
from server.consent.model import (
    GATE_ITEMS,
    VALID_FOR,
    Answer,
    Cells,
    Consent,
    ConsentAct,
    ConsentActor,
    ConsentCell,
    ConsentItem,
    ConsentState,
    LocationTerms,
    NoticeOutdated,
    NoticeShown,
    Signature,
    next_consent,
)
from server.gate import service as gate
from server.gate.model import CLOCK_AHEAD_MAX, USUAL_REACH, GateItem, GateMissing
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.notices.model import MessageConsent
from server.policies import service as policies
from server.policies.model import Clarified, Document, DocumentMissing, Shown
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from server.taking_back import service as taking_back

NONCE_BYTES: Final = 32
# States that an answer or a question leads to; the others only take away.
ASKED: Final = frozenset({ConsentState.REQUESTED, ConsentState.GIVEN, ConsentState.DECLINED})
TAKEN: Final = frozenset(
    {
        ConsentState.WITHDRAWN,
        ConsentState.EXPIRED,
        ConsentState.SUPERSEDED,
        ConsentState.INVALIDATED,
    }
)
COMPARED: Final = frozenset({ConsentItem.LOCATION, ConsentItem.PLAN_FACT})
"""What the comparison of plan and fact rests on."""
_LEDGERED: Final[Mapping[ConsentState, Act]] = {
    ConsentState.REQUESTED: Act.CONSENT_REQUESTED,
    ConsentState.GIVEN: Act.CONSENT_GIVEN,
    ConsentState.DECLINED: Act.CONSENT_DECLINED,
    ConsentState.WITHDRAWN: Act.CONSENT_WITHDRAWN,
    ConsentState.EXPIRED: Act.CONSENT_EXPIRED,
    ConsentState.SUPERSEDED: Act.CONSENT_SUPERSEDED,
    ConsentState.INVALIDATED: Act.CONSENT_INVALIDATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who acts, for the record and for the ledger."""

    actor: ConsentActor
    ledger: Actor = field(default=SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one cell becomes, one state after the other, at one moment."""

    driver_id: UUID
    item: ConsentItem
    states: Sequence[ConsentState]
    who: Who
    notice: NoticeShown | None = None
    """Of an answer or a question; None where something is taken away."""
    terms: LocationTerms | None = None
    signature: Signature | None = None
    guardian_id: UUID | None = None
    """The record of a guardian that a minor's own consent rests on."""
    held: Consent | None = None
    """What goes on, renewed or under another controller: since when it is given stays as it was."""
    until: datetime | None = None
    """When what is given runs out; None: as long as a consent holds that is given now."""
    company: record.Company | None = None
    """Who asks, where that was looked up before; the act is judged and written by the same."""

    @property
    def is_answer(self) -> bool:
        """Whether the driver answers now; else they agreed to it before."""
        return self.who.actor is ConsentActor.DRIVER and self.until is None


async def cells_of(conn: Connection, company_id: UUID, driver_id: UUID) -> Cells:
    """Return what is in force for every item."""
    found = {one.item: one for one in await store.in_force(conn, company_id, [driver_id])}
    return {item: ConsentCell(item=item, decision=found.get(item)) for item in ConsentItem}


async def message_consents(
    conn: Connection, company_id: UUID, member_id: UUID, at: datetime
) -> frozenset[MessageConsent]:
    """Return what the member agreed to of messages; who is no driver is not asked: all of it."""
    try:
        await gate.read(conn, company_id, member_id)
    except GateMissing:
        return frozenset(MessageConsent)
    cells = await cells_of(conn, company_id, member_id)
    given = {one: cells[ConsentItem(one.value)] for one in MessageConsent}
    # What ran out is none any more, also before the job has written it down.
    return frozenset(
        one
        for one, cell in given.items()
        if cell.is_given and (cell.valid_until is None or at < cell.valid_until)
    )


def outcome(
    cell: ConsentCell, answered: Answer, company: record.Company, now: datetime
) -> tuple[list[ConsentState], Consent | None]:
    """Return what the answer makes of a consent, one after the other, and what goes on by it.

    Something goes on only if the answer renews it. What was given to another company was never
    given to this one: the controller changed, and the driver was not moved yet.

    Raises
    ------
    ConsentActionRefused, ConsentRenewalEarly
    """
    states: list[ConsentState] = []
    held = None
    given = cell.decision if cell.is_given and answered.act is ConsentAct.GIVE else None
    if given is not None:
        to_another = not record.names(given, company.name, company.business_number)
        if not to_another and cell.is_renewed_by(answered, now):
            held = given
        if to_another or held is not None or cell.is_given_otherwise(answered):
            states.append(next_consent(cell.state, ConsentAct.SUPERSEDE, ConsentActor.DRIVER))
    before = states[-1] if states else cell.state
    return [*states, next_consent(before, answered.act, ConsentActor.DRIVER)], held


async def enact(
    conn: Connection, company_id: UUID, cells: Cells, change: Change, *, now: datetime
) -> Consent:
    """Do it and write it down; the driver's gate is locked. Return what is in force then.

    Raises
    ------
    ConsentRecordIncomplete, ConsentChangedMeanwhile
    """
    before = cells[change.item].decision
    at = await gate.moment(conn, company_id, change.driver_id, now)
    # Giving again must never reach behind the withdrawal.
    at = at if before is None else max(at, before.recorded_at)
    epoch = await _move_gate(conn, company_id, cells, change, at)
    await _move_window(conn, company_id, change, at)
    if change.item is ConsentItem.MARKETING:
        await _move_marketing(conn, company_id, change, at)
    if change.item in COMPARED and change.held is None and TAKEN.intersection(change.states):
        # They name when the driver was late, or silent: what that rests on is hidden from now on.
        await taking_back.take_back(conn, company_id, change.driver_id, now=at)
    if change.states[-1] is ConsentState.WITHDRAWN and change.who.actor is ConsentActor.DRIVER:
        told = {"items": change.item.value, "withdrawn_at": rfc3339(at)}
        kind = NoticeKind.CONSENT_WITHDRAWN_CONFIRMATION
        await notices.queue(conn, company_id, change.driver_id, kind, told, now=now)
    # What only takes away asks nobody for anything: it must not fail.
    company = None
    if ASKED.intersection(change.states):
        company = change.company or await company_of(conn, company_id)
    clarified = await _clarified(conn, company_id, change, at)
    written = before
    for state in change.states:
        draft = _draft(written, change, state, epoch, at)
        if company is None or state not in ASKED:
            document = record.ended(draft, written)
        else:
            document = record.written(draft, written, company, change.signature, clarified)
            document |= record.resting_on(change.guardian_id)
        written = await _write(conn, company_id, draft, document, change.who, now)
    if written is None:
        raise ValueError("a change has at least one state")
    return written


async def take(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: ConsentItem,
    act: ConsentAct,
    who: Who,
    *,
    now: datetime,
) -> Consent:
    """Take a consent away; what was taken already is returned as it was recorded.

    Raises
    ------
    GateMissing, ConsentActionRefused
    """
    await gate.lock(conn, company_id, driver_id)
    cells = await cells_of(conn, company_id, driver_id)
    cell = cells[item]
    after = next_consent(cell.state, act, who.actor)
    if cell.decision is not None and after is cell.state:
        return cell.decision
    change = Change(driver_id=driver_id, item=item, states=[after], who=who)
    return await enact(conn, company_id, cells, change, now=now)


async def refuse_outdated(
    conn: Connection, company_id: UUID, notice: NoticeShown, now: datetime
) -> None:
    """Refuse an answer to another text of the driver notice than the one in force.

    Raises
    ------
    NoticeOutdated
    """
    try:
        shown = await policies.in_force(
            conn, company_id, Document.DRIVER_NOTICE, now, language=notice.language
        )
    except DocumentMissing:
        raise NoticeOutdated from None
    if notice != notice_of(shown):
        raise NoticeOutdated


def notice_of(shown: Shown) -> NoticeShown:
    return NoticeShown(edition=shown.edition.edition, language=shown.language, sha256=shown.sha256)


def _draft(
    before: Consent | None, change: Change, state: ConsentState, epoch: int, at: datetime
) -> Consent:
    """Return the act without its record."""
    is_given = state is ConsentState.GIVEN
    asked = state in ASKED
    return Consent(
        driver_id=change.driver_id,
        item=change.item,
        version=1 if before is None else before.version + 1,
        record_id=uuid7(),
        state=state,
        actor=change.who.actor,
        epoch=epoch,
        recorded_at=at,
        notice=change.notice if asked or before is None else before.notice,
        terms=change.terms if is_given else None,
        valid_until=(change.until or at + VALID_FOR) if is_given else None,
        held_since=change.held.given_at if is_given and change.held is not None else None,
    )


async def _move_gate(
    conn: Connection, company_id: UUID, cells: Cells, change: Change, at: datetime
) -> int:
    """Write what the gate's consents became; return its epoch, which only those move."""
    after = change.states[-1]
    gate_item = GATE_ITEMS.get(change.item)
    if gate_item is None or after is ConsentState.REQUESTED:
        return (await gate.read(conn, company_id, change.driver_id)).epoch
    before = cells[change.item].decision
    drafted = _draft(before, change, after, 0, at)
    since = drafted.given_at
    if since is not None and change.held is not None:
        since = await _shown_since(conn, company_id, change, gate_item)
    elif since is not None and before is not None and before.state in TAKEN:
        # A phone's clock may be fast: what came in before it was taken away says it is from later.
        since = max(since, before.recorded_at + CLOCK_AHEAD_MAX)
    return await gate.set_consent(
        conn,
        company_id,
        change.driver_id,
        gate_item,
        since,
        reach=USUAL_REACH if drafted.terms is None else drafted.terms.reach,
        until=drafted.valid_until,
    )


async def _shown_since(
    conn: Connection, company_id: UUID, change: Change, item: GateItem
) -> datetime | None:
    """Return from when on positions are shown of a consent that goes on: what was hidden stays so.

    That may be later than it was given, if it had been taken away just before.
    """
    found = await gate.read(conn, company_id, change.driver_id)
    return {
        GateItem.LOCATION: found.location_since,
        GateItem.DISPATCH_TRACKING: found.dispatch_since,
        GateItem.PLAN_FACT: found.plan_fact_since,
    }[item]


async def _move_window(conn: Connection, company_id: UUID, change: Change, at: datetime) -> None:
    """Open, bound or close the window; what nothing may be recorded for any more ends."""
    after = change.states[-1]
    if change.item not in GATE_ITEMS:
        return
    if after is ConsentState.GIVEN:
        if change.is_answer:  # else nobody opens or bounds anything
            await shifts.fit_window(conn, company_id, change.driver_id, now=at)
    elif after not in ASKED:
        found = await gate.read(conn, company_id, change.driver_id)
        if not found.is_consented:
            nobodys_no = change.who.actor is ConsentActor.SYSTEM
            by = ShiftEnd.CONSENT_ENDED if nobodys_no else ShiftEnd.WITHDRAWAL
            await shifts.end(conn, company_id, change.driver_id, by=by, now=at)


async def _move_marketing(conn: Connection, company_id: UUID, change: Change, at: datetime) -> None:
    """Switch the channels on with the consent to news, and off with its end."""
    after = change.states[-1]
    if after is ConsentState.GIVEN:
        await notices.start_marketing(conn, company_id, change.driver_id, now=at)
    elif after is not ConsentState.REQUESTED:
        await notices.stop_marketing(conn, company_id, change.driver_id)


async def _write(
    conn: Connection,
    company_id: UUID,
    draft: Consent,
    document: record.Document,
    who: Who,
    now: datetime,
) -> Consent:
    """Add the act to the ledger and to the history."""
    text = record.canonical(document)
    digest, nonce = record.digest(text), secrets.token_bytes(NONCE_BYTES)
    whole = replace(draft, record=text, record_sha256=digest, nonce=nonce)
    place = await ledger.append(
        conn,
        company_id,
        _LEDGERED[draft.state],
        actor=who.ledger,
        subject_id=draft.driver_id,
        detail={"record_id": str(draft.record_id), "record_sha256": digest.hex()},
        facts={
            "item": draft.item.value,
            "epoch": draft.epoch,
            "commitment": record.commitment(nonce, text).hex(),
            "row": record.row_commitment(whole).hex(),
        },
        now=now,
    )
    whole = replace(whole, ledger_index=place.index)
    await store.append(conn, company_id, whole)
    return whole


async def _clarified(
    conn: Connection, company_id: UUID, change: Change, at: datetime
) -> Clarified | None:
    """Return what the driver had asked about the notice they answer by; None of other acts."""
    if change.notice is None or not change.is_answer:
        return None
    return await clarifications.answered_before(
        conn, company_id, change.driver_id, Document.DRIVER_NOTICE, change.notice.edition, at
    )


async def company_of(conn: Connection, company_id: UUID) -> record.Company:
    """Return who asks for consents now: after a change of the controller, that is the new one."""
    country = await store.storage_country(conn, company_id)
    found = await policies.controller(conn, company_id)
    days = found.track_days
    return record.Company(
        company_id=company_id,
        name=found.company_name,
        business_number=found.bin,
        privacy_contact=found.privacy_contact,
        storage_country=country,
        tracks_kept_for=record.UNTIL_ERASURE if days is None else f"P{days}D",
        reports_kept=""
        if found.report_days is None
        else f"; the final report is kept sealed, P{found.report_days}D after the planned end",
    )
