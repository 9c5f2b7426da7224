"""Consents of drivers. Every change locks the driver's gate first, so changes queue.

An act that takes something away is called inside ``gate.service.stopping``. Each act writes, in one
transaction: the gate, the shift and window it ends or bounds, the ledger, and its record.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.accounts import acts as accounts
from server.consent import store
from server.consent.acts import (
    Change,
    Who,
    cells_of,
    company_of,
    enact,
    outcome,
    refuse_outdated,
    take,
)
from server.consent.expiry import settled_cells
from server.consent.model import (
    Answer,
    Consent,
    ConsentAct,
    ConsentActor,
    ConsentChangedMeanwhile,
    ConsentItem,
    ConsentRecordMissing,
    Consents,
    ConsentState,
    ConsentTermsMisplaced,
    RecordPage,
    SignatureMisplaced,
    next_consent,
)
from server.gate import service as gate
from server.guardians import service as guardians
from server.guardians.model import UNSTATED, Age
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies.model import Edition
from server.shifts import service as shifts
from server.shifts.model import AccountNotActive, Shift, ShiftEnd, ShiftState, shift_state
from server.standing.model import BlockReason, by_of, lifted_by, ordered, role_word


async def consents(conn: Connection, company_id: UUID, driver_id: UUID) -> Consents:
    """Return all of the driver's consents.

    Raises
    ------
    GateMissing
    """
    found = await gate.read(conn, company_id, driver_id)
    cells = await cells_of(conn, company_id, driver_id)
    return Consents(items=tuple(cells.values()), epoch=found.epoch, gate_open=found.is_open)


async def answer(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    answered: Answer,
    *,
    age: Age = UNSTATED,
    now: datetime,
) -> Consent:
    """Let the driver give or decline one consent; the others stay as they are.

    Giving on other terms, by another notice, or to another company, what is given already
    supersedes it: the past is covered by the old record alone, so positions count from now on.
    Inside ``gate.service.stopping``, because the new terms may cover less. Giving the same again
    near its end renews it: it holds anew from now, and what is shown of the past stays what it is.
    All of it is judged at the moment the act counts at, which may be after ``now``.

    Raises
    ------
    GateMissing, ConsentActionRefused, AccountNotActive
    ConsentRenewalEarly
        The same is given already, and its end is not near.
    ConsentTermsMisplaced
        Terms of a location came with another answer.
    SignatureMisplaced
        A signature came with something that is not given.
    ConsentChangedMeanwhile
        The driver was shown another epoch.
    NoticeOutdated
        Not this text of the driver notice is in force.
    ConsentRecordIncomplete
        The company has not stated what the law asks a consent to name.
    GuardianConsentNeeded, AgeStatedMeanwhile
        By ``age``, as ``guardians.age`` read it just before, the driver may be a minor.
    """
    if answered.terms is not None and not answered.gives_location:
        raise ConsentTermsMisplaced
    if answered.signature is not None and answered.act is not ConsentAct.GIVE:
        raise SignatureMisplaced
    found = await gate.lock(conn, company_id, driver_id)
    if answered.act is ConsentAct.GIVE and not found.account_active:
        # It would open the gate by itself once the account comes back.
        raise AccountNotActive
    if answered.epoch not in {None, found.epoch}:
        raise ConsentChangedMeanwhile
    # A clock was read before the gate was got: what came into force meanwhile holds.
    now = await gate.moment(conn, company_id, driver_id, now)
    cells = await settled_cells(conn, company_id, driver_id, answered.item, now=now)
    await refuse_outdated(conn, company_id, answered.notice, now)
    # Before the guardian, whose word is to this company; another may take over in between.
    company = await company_of(conn, company_id)
    guardian_id = None
    if answered.gives_use_of_location:
        guardian_id = await guardians.refuse_minor_alone(conn, company_id, driver_id, age, now=now)
    states, held = outcome(cells[answered.item], answered, company, now)
    change = Change(
        driver_id=driver_id,
        item=answered.item,
        states=states,
        who=_by_driver(driver_id),
        notice=answered.notice,
        terms=answered.terms_given,
        signature=answered.signature,
        guardian_id=guardian_id,
        held=held,
        company=company,
    )
    return await enact(conn, company_id, cells, change, now=now)


async def withdraw(
    conn: Connection, company_id: UUID, driver_id: UUID, item: ConsentItem, *, now: datetime
) -> Consent:
    """Withdraw what the driver gave. When nothing may be recorded after it, the shift ends with it.

    To withdraw again changes nothing and returns what was recorded then.

    Raises
    ------
    GateMissing, ConsentActionRefused
    """
    who = _by_driver(driver_id)
    return await take(conn, company_id, driver_id, item, ConsentAct.WITHDRAW, who, now=now)


async def request(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: ConsentItem,
    *,
    by: Actor,
    now: datetime,
) -> Consent:
    """Ask the driver for a consent and tell them; it changes nothing but that it was asked for.

    Raises
    ------
    GateMissing, AccountNotActive, ConsentRecordIncomplete
    ConsentActionRefused
        It is given, or the driver said no: nobody is asked again after that.
    """
    found = await gate.lock(conn, company_id, driver_id)
    if not found.account_active:
        raise AccountNotActive
    cells = await cells_of(conn, company_id, driver_id)
    cell = cells[item]
    who = Who(actor=ConsentActor(by.kind.value), ledger=by)
    after = next_consent(cell.state, ConsentAct.REQUEST, who.actor)
    if cell.decision is not None and after is cell.state:
        return cell.decision
    await _tell_asked(conn, company_id, driver_id, item, now=now)
    change = Change(driver_id=driver_id, item=item, states=[after], who=who)
    return await enact(conn, company_id, cells, change, now=now)


async def is_outdated_by(
    conn: Connection, company_id: UUID, driver_id: UUID, edition: Edition
) -> bool:
    """Tell whether the driver agreed, before the edition, to what it adds. Locks nothing."""
    if edition.adds_purpose is None:
        return False
    item = ConsentItem(edition.adds_purpose.value)
    return (await cells_of(conn, company_id, driver_id))[item].is_given_before(edition)


async def supersede(
    conn: Connection, company_id: UUID, driver_id: UUID, edition: Edition, *, now: datetime
) -> Consent | None:
    """Suspend the consent to what an edition adds, if it was given before the edition.

    The driver is told, and gives it again by the new notice, or not. What is not given, and what
    the driver gave since then, stays as it is (None), however late this comes and however often.
    Inside ``gate.service.stopping``, one driver in a transaction.

    Raises
    ------
    GateMissing
    """
    if edition.adds_purpose is None:
        return None
    await gate.lock(conn, company_id, driver_id)
    if not await is_outdated_by(conn, company_id, driver_id, edition):
        return None
    item = ConsentItem(edition.adds_purpose.value)
    await _tell_asked(conn, company_id, driver_id, item, by=edition, now=now)
    who = Who(actor=ConsentActor.SYSTEM)
    return await take(conn, company_id, driver_id, item, ConsentAct.SUPERSEDE, who, now=now)


async def invalidate(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    items: Collection[ConsentItem] = frozenset(ConsentItem),
    who: Who | None = None,
    now: datetime,
) -> list[Consent]:
    """Void the given consents among ``items``, by default as the driver's own act; return them.

    Inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    if ConsentItem.MARKETING in items:  # whatever is given; before the ledger's head is held
        await notices.stop_marketing(conn, company_id, driver_id)
    who = who or _by_driver(driver_id)
    return [
        await take(conn, company_id, driver_id, cell.item, ConsentAct.INVALIDATE, who, now=now)
        for cell in (await cells_of(conn, company_id, driver_id)).values()
        if cell.is_given and cell.item in items
    ]


async def withdraw_for_erasure(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Withdraw whatever is given and end the shift, inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    # Whatever is given; before the ledger's head is held.
    await notices.stop_marketing(conn, company_id, driver_id)
    await shifts.end(conn, company_id, driver_id, by=ShiftEnd.ERASURE, now=now)
    who = Who(actor=ConsentActor.ERASURE)
    for cell in (await cells_of(conn, company_id, driver_id)).values():
        if cell.is_given:
            await take(conn, company_id, driver_id, cell.item, ConsentAct.WITHDRAW, who, now=now)


async def block(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    reason: BlockReason,
    *,
    by: Actor,
    order: str | None = None,
    now: datetime,
) -> None:
    """Stop all recording of a driver and tell them; no consent is lost by it.

    Inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await shifts.end(conn, company_id, driver_id, by=ShiftEnd.BLOCK, now=now)
    await accounts.block(conn, company_id, driver_id, reason, by=by_of(by), order=order, now=now)
    facts = {"reason": reason.value} | ordered(order)
    told = {"by_role": role_word(by), "lifting": lifted_by(reason), **facts}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ACCOUNT_BLOCKED, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.MEMBER_BLOCKED,
        actor=by,
        subject_id=driver_id,
        facts=facts,
        now=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStates:
    """What others see of a driver's consents and shift."""

    consents: Mapping[ConsentItem, ConsentState]
    shift: Shift | None

    def shift_state(self, now: datetime) -> ShiftState:
        return shift_state(self.shift, now)


async def states(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> Mapping[UUID, DriverStates]:
    """Return consents and shift of each of the drivers."""
    found = await store.states(conn, company_id, driver_ids)
    running = await shifts.shifts(conn, company_id, driver_ids)
    return {
        driver_id: DriverStates(
            consents={
                item: found.get((driver_id, item), ConsentState.NOT_ASKED) for item in ConsentItem
            },
            shift=running.get(driver_id),
        )
        for driver_id in driver_ids
    }


any_given = store.any_given
standings = store.standings
bound_records = store.bound
count_unbound_records = store.count_unbound
commitments_kept = store.commitments_kept


async def history(
    conn: Connection, company_id: UUID, driver_id: UUID, *, cursor: str | None, limit: int
) -> RecordPage:
    """Return a page of the driver's records, the oldest first.

    Raises
    ------
    CursorInvalid
    """
    after = place_of(cursor)
    found = await store.history(conn, company_id, driver_id, after=after, limit=limit + 1)
    page, next_cursor = page_of(found, limit, lambda one: cursor_of(one.record_id))
    return RecordPage(items=tuple(page), next_cursor=next_cursor)


async def record(conn: Connection, company_id: UUID, driver_id: UUID, record_id: UUID) -> Consent:
    """Return one of the driver's own records.

    Raises
    ------
    ConsentRecordMissing
        There is none, or it is older than records.
    """
    found = await store.record(conn, company_id, driver_id, record_id)
    if found is None or found.ledger_index is None:
        raise ConsentRecordMissing
    return found


track_terms = store.track_terms


async def settle_storage(conn: Connection, company_id: UUID, country: str) -> bool:
    """Take ``country`` (ISO 3166-1) as where the company's data is stored.

    False, and nothing is changed, where a consent in force says another one: no driver agreed to
    the move, least of all across a border.
    """
    if await store.storage_country(conn, company_id) == country:
        return True
    return await store.set_storage_country(conn, company_id, country)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the driver's records and shifts, keeping commitments; return the number of rows."""
    await store.commit_to(conn, company_id, member_id)
    records = await store.delete(conn, company_id, member_id)
    return records + await shifts.erase(conn, company_id, member_id)


async def _tell_asked(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: ConsentItem,
    *,
    by: Edition | None = None,
    now: datetime,
) -> None:
    """Tell the driver what they are asked for, and by which edition, if one ended the consent."""
    told = {"items": item.value}
    if by is not None:
        told |= {"document": by.document.value, "edition": str(by.edition)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.CONSENT_REQUESTED, told, now=now)


def _by_driver(driver_id: UUID) -> Who:
    return Who(actor=ConsentActor.DRIVER, ledger=Actor(kind=ActorKind.DRIVER, member_id=driver_id))
