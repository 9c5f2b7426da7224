"""Holding categories of a driver's data, and letting them go.

Each act locks the driver's gate first, as the erasing job does at each of its steps: so a hold is
there before the erasing has begun, or comes too late and is refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.credentials.model import Caller, MemberState, Role
from server.gate import service as gate
from server.gate.model import GateMissing
from server.holds import store
from server.holds.model import (
    HOLDS_MAX,
    HeldCategory,
    Hold,
    HoldAct,
    HoldIncomplete,
    HoldMissing,
    HoldState,
    HoldsTooMany,
    HoldTooLate,
    Reason,
    next_state,
    refuse_reason,
)
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.model import Category, SealedText
from server.vault.service import Vault

log = structlog.get_logger(__name__)

EVIDENCE_SCHEMA: Final = "hold.evidence"
TEXT_SCHEMA: Final = "erasure_refusal.text"
TOLD_BEFORE: Final = timedelta(days=7)
"""So long before its date the main users and the driver are told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """What is to be held; the evidence is sealed before any transaction begins."""

    category: HeldCategory
    reason: Reason | None
    hold_id: UUID = field(default_factory=uuid7)
    evidence_sealed: bytes | None = field(default=None, repr=False)


async def sealed_evidence(
    vault: Vault, company_id: UUID, driver_id: UUID, hold_id: UUID, text: str, *, now: datetime
) -> bytes:
    """Seal what shows that there is a ground, under the driver's own key."""
    return await vault.seal_text(
        company_id,
        driver_id,
        Category.CONTACT,
        text,
        row_id=hold_id,
        schema=EVIDENCE_SCHEMA,
        now=now,
    )


async def ask(
    conn: Connection, company_id: UUID, driver_id: UUID, new: NewHold, *, by: Actor, now: datetime
) -> Hold:
    """Place a hold, as a main user; whoever else asks for it proposes it to them.

    Raises
    ------
    GateMissing, HoldIncomplete, HoldsTooMany, HoldTooLate
    """
    role = Role(by.kind.value)
    act = HoldAct.PLACE if role is Role.MAIN_USER else HoldAct.ASK
    if (act is HoldAct.PLACE) is (new.reason is None):
        raise HoldIncomplete
    return await _add(conn, company_id, driver_id, new, act, request_id=None, by=by, now=now)


async def refuse(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    items: Sequence[NewHold],
    *,
    request_id: UUID,
    by: Actor,
    now: datetime,
) -> None:
    """Hold what the refusal of an erasure names, in place of what it named before.

    What the refusal of another request of the driver holds stays until its own date.

    Raises
    ------
    GateMissing, HoldIncomplete, HoldsTooMany, HoldTooLate
    """
    await end_refusals(conn, company_id, driver_id, request_id, by=by, now=now)
    for one in items:
        await _add(
            conn, company_id, driver_id, one, HoldAct.REFUSE, request_id=request_id, by=by, now=now
        )


async def end_refusals(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    request_id: UUID,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Let go what the refusal of a request holds: it was decided otherwise, or called off."""
    for one in await store.of_driver(conn, company_id, driver_id):
        if one.request_id == request_id and one.state is HoldState.PLACED:
            ended = replace(one, state=HoldState.ENDED, ended_at=now, ended_by=Role(by.kind.value))
            await store.update(conn, company_id, ended)


async def place(
    conn: Connection,
    company_id: UUID,
    hold_id: UUID,
    reason: Reason,
    *,
    evidence_sealed: bytes | None,
    by: Actor,
    now: datetime,
) -> Hold:
    """Place what was asked for, or look at a hold again and say anew until when it is.

    Raises
    ------
    HoldMissing, HoldActRefused, HoldIncomplete, HoldTooLate, GateMissing
    """
    refuse_reason(reason, now)
    before = await _lock(conn, company_id, hold_id)
    after = next_state(before.state, HoldAct.PLACE, Role(by.kind.value))
    if not before.keeps(now):
        await _refuse_too_late(conn, company_id, before.driver_id, before.category, now)
    hold = replace(
        before,
        state=after,
        ground=reason.ground,
        until=reason.until,
        evidence_sealed=evidence_sealed or before.evidence_sealed,
        placed_at=before.placed_at or now,
    )
    await store.update(conn, company_id, hold)
    await tell_of(conn, company_id, hold, by=by, now=now)
    return hold


async def release(
    conn: Connection, company_id: UUID, hold_id: UUID, *, by: Actor, now: datetime
) -> Hold:
    """Let go what is held, or decline to hold it. What an erasure left of it is erased then.

    Raises
    ------
    HoldMissing, HoldActRefused, GateMissing
    """
    role = Role(by.kind.value)
    before = await _lock(conn, company_id, hold_id)
    after = next_state(before.state, HoldAct.RELEASE, role)
    hold = replace(before, state=after, ended_at=now, ended_by=role)
    await store.update(conn, company_id, hold)
    await tell_of(conn, company_id, hold, by=by, now=now)
    return hold


async def run_due(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Tell of holds that end soon, and write down which have; return how many of these.

    A hold keeps nothing from its date on, whether or not this came: so none of it has to be in
    time. One that fails does not hold up the others. Each minute.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        ending = await store.placed(conn, company_id, until=now + TOLD_BEFORE)
    ended = 0
    for one in ending:
        try:
            async with db.tenant(pool, company_id) as conn:
                ended += await _attend(conn, company_id, one, now=now)
        except GateMissing:  # erased since
            continue
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("hold_clock_failed", company=str(company_id), **where(error))
    return ended


async def in_force(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> list[Hold]:
    """Return what keeps something of the driver just now."""
    return [one for one in await store.of_driver(conn, company_id, driver_id) if one.keeps(now)]


drivers_held = store.drivers_held
put_text = store.put_text


async def holds(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID
) -> list[tuple[Hold, str | None]]:
    """Return every hold of a driver with what shows that there is a ground.

    Raises
    ------
    GateMissing
    """
    await gate.read(conn, company_id, driver_id)
    found = await store.of_driver(conn, company_id, driver_id)
    texts = await vault.open_texts(company_id, [_evidence(one) for one in found])
    return list(zip(found, texts, strict=True))


async def hold(conn: Connection, company_id: UUID, hold_id: UUID) -> Hold:
    """Return one hold.

    Raises
    ------
    HoldMissing
    """
    return there(await store.hold(conn, company_id, hold_id), HoldMissing)


async def text(
    conn: Connection, vault: Vault, company_id: UUID, request_id: UUID
) -> tuple[str, str] | None:
    """Return what was written to the driver with a refusal, and its language."""
    found = await store.text(conn, company_id, request_id)
    if found is None:
        return None
    sealed, locale = found
    item = SealedText(sealed=sealed, row_id=request_id, schema=TEXT_SCHEMA)
    (opened,) = await vault.open_texts(company_id, [item])
    return (opened or "", locale)


def visible_driver(caller: Caller, driver_id: UUID) -> UUID:
    """Return the driver the caller asks about: staff any, a driver only themself.

    Raises
    ------
    GateMissing
    """
    if caller.role is Role.DRIVER and caller.member_id != driver_id:
        raise GateMissing
    return driver_id


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what was held of the driver, and what was written to them; return the rows."""
    texts = await store.delete_texts(conn, company_id, member_id)
    return texts + await store.delete(conn, company_id, member_id)


async def _add(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    new: NewHold,
    act: HoldAct,
    *,
    request_id: UUID | None,
    by: Actor,
    now: datetime,
) -> Hold:
    role = Role(by.kind.value)
    state = next_state(None, act, role)
    if new.reason is not None:
        refuse_reason(new.reason, now)
    await gate.lock(conn, company_id, driver_id)
    await _refuse_too_late(conn, company_id, driver_id, new.category, now)
    if len(await store.of_driver(conn, company_id, driver_id)) >= HOLDS_MAX:
        raise HoldsTooMany
    hold = Hold(
        hold_id=new.hold_id,
        driver_id=driver_id,
        request_id=request_id,
        category=new.category,
        state=state,
        ground=None if new.reason is None else new.reason.ground,
        until=None if new.reason is None else new.reason.until,
        asked_by=role,
        asked_at=now,
        evidence_sealed=new.evidence_sealed,
        placed_at=now if state is HoldState.PLACED else None,
    )
    await store.insert(conn, company_id, hold)
    if act is not HoldAct.REFUSE:  # the decision tells of its items, and writes them down
        await tell_of(conn, company_id, hold, by=by, now=now)
    return hold


async def _lock(conn: Connection, company_id: UUID, hold_id: UUID) -> Hold:
    found = await hold(conn, company_id, hold_id)
    await gate.lock(conn, company_id, found.driver_id)
    return there(await store.lock(conn, company_id, hold_id), HoldMissing)


async def _refuse_too_late(
    conn: Connection, company_id: UUID, driver_id: UUID, category: HeldCategory, now: datetime
) -> None:
    """Refuse a hold of what the erasing job takes already, unless another one keeps that still."""
    state = await accounts.state_of(conn, company_id, driver_id)
    if state is not MemberState.ERASING:
        return
    if category not in {one.category for one in await in_force(conn, company_id, driver_id, now)}:
        raise HoldTooLate


async def _attend(conn: Connection, company_id: UUID, found: Hold, *, now: datetime) -> bool:
    before = await _lock(conn, company_id, found.hold_id)
    if before.state is not HoldState.PLACED or before.until is None:
        return False
    told = {"category": before.category.value, "until": rfc3339(before.until)}
    readers: Collection[UUID] = {
        before.driver_id,
        *await accounts.main_users(conn, company_id),
    }
    dedupe = f"{before.hold_id} {rfc3339(before.until)}"
    for member_id in sorted(readers):
        await notices.queue(
            conn,
            company_id,
            member_id,
            NoticeKind.HOLD_ENDING,
            told | {"driver": str(before.driver_id)},
            now=now,
            dedupe=dedupe,
        )
    if before.until > now:
        return False
    ended = replace(
        before, state=next_state(before.state, HoldAct.END, None), ended_at=now, ended_by=None
    )
    await store.update(conn, company_id, ended)
    await tell_of(conn, company_id, ended, by=SYSTEM, now=now)
    return True


async def tell_of(
    conn: Connection, company_id: UUID, hold: Hold, *, by: Actor, now: datetime
) -> None:
    """Tell the driver and the main users how the hold stands, and write it down."""
    told = {
        "driver": str(hold.driver_id),
        "category": hold.category.value,
        "state": hold.state.value,
    }
    facts: dict[str, str] = {
        "hold_id": str(hold.hold_id),
        "category": hold.category.value,
        "state": hold.state.value,
    }
    if hold.ground is not None and hold.until is not None:
        facts |= {"ground": hold.ground.value, "until": rfc3339(hold.until)}
        told |= {"ground": hold.ground.value, "until": rfc3339(hold.until)}
    readers = {hold.driver_id, *await accounts.main_users(conn, company_id)} - {by.member_id}
    for member_id in sorted(one for one in readers if one is not None):
        await notices.queue(conn, company_id, member_id, NoticeKind.HOLD_CHANGED, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.HOLD_CHANGED,
        actor=by,
        subject_id=hold.driver_id,
        facts=facts,
        now=now,
    )


def _evidence(one: Hold) -> SealedText | None:
    if one.evidence_sealed is None:
        return None
    return SealedText(sealed=one.evidence_sealed, row_id=one.hold_id, schema=EVIDENCE_SCHEMA)
