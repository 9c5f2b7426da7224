"""Deciding whether a driver is erased: by the staff, or by the clock where they are silent.

Each act locks the driver's gate first, then the request, as everything about an erasure does. What
is refused is held: the items of a refusal are holds that end by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts.model import Locale
from server.credentials.model import Role
from server.disputes import service as disputes
from server.erasure import service as erasure
from server.erasure.model import (
    Act,
    ErasureMissing,
    ErasureUnderWay,
    Outcome,
    Request,
    State,
    next_state,
)
from server.erasure_decisions import store
from server.erasure_decisions.model import (
    Decision,
    DecisionLanguage,
    RefusalMissing,
    SecondPersonNeeded,
    refuse_incomplete,
)
from server.holds import service as holds
from server.holds.model import Reason
from server.holds.service import NewHold
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Actor, ActorKind, Json
from server.ledger.model import Act as LedgerAct
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.model import Category
from server.vault.service import Vault

SILENCE: Final = "silence"
"""How a notice calls an approval by the clock."""
EXPIRED: Final = "expired"
"""The end of a refusal."""
DROPPED: Final = "dropped"
"""And what no second person agreed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The items of a refusal and its text, sealed before any transaction begins."""

    items: Sequence[NewHold] = ()
    text_sealed: bytes | None = field(default=None, repr=False)
    locale: Locale | None = None


async def decision_due(
    conn: Connection, company_id: UUID, request_id: UUID, decision: Decision, *, by: Actor
) -> Request:
    """Return the request whose gate to close for a decision, if there is anything to decide.

    Raises
    ------
    ErasureMissing, DecisionIncomplete, ErasureActRefused, DecisionLanguage, SecondPersonNeeded
    """
    # First: whoever may not know of a request learns nothing from what is said of the decision.
    found = await erasure.found(conn, company_id, request_id)
    refuse_incomplete(decision)
    next_state(found.state, Act(decision.outcome.value), erasure.role_of(by))
    await _refuse_party(conn, company_id, found, by=by)
    wanted = await store.locale_of(conn, company_id, found.driver_id)
    if wanted is not None and decision.locale not in {None, wanted}:
        raise DecisionLanguage(wanted)
    return found


async def sealed(
    vault: Vault, company_id: UUID, request: Request, decision: Decision, *, now: datetime
) -> Refusal:
    """Seal what the decision says under the driver's own key; an approval needs none."""
    items = []
    for one in decision.items:
        new = NewHold(category=one.category, reason=Reason(ground=one.ground, until=one.until))
        if one.evidence_ref is not None:
            evidence = await holds.sealed_evidence(
                vault, company_id, request.driver_id, new.hold_id, one.evidence_ref, now=now
            )
            new = replace(new, evidence_sealed=evidence)
        items.append(new)
    if decision.notice_text is None:
        return Refusal(items=items)
    text = await vault.seal_text(
        company_id,
        request.driver_id,
        Category.CONTACT,
        decision.notice_text,
        row_id=request.request_id,
        schema=holds.TEXT_SCHEMA,
        now=now,
    )
    return Refusal(items=items, text_sealed=text, locale=decision.locale)


async def decide(
    conn: Connection,
    company_id: UUID,
    request_id: UUID,
    outcome: Outcome,
    refusal: Refusal,
    *,
    by: Actor,
    now: datetime,
) -> Request:
    """Approve or refuse, inside ``gate.service.stopping`` of the request's driver, who is told.

    A refusal gives the account back; the consents stay withdrawn until the driver gives them. A
    refusal in part lets the rest be erased, and what it names when its time is over.

    Raises
    ------
    ErasureMissing, ErasureActRefused, ErasureUnderWay, SecondPersonNeeded, GateMissing
    HoldIncomplete, HoldsTooMany, HoldTooLate
    """
    role = erasure.role_of(by)
    before = await erasure.lock(conn, company_id, request_id)
    after = next_state(before.state, Act(outcome.value), role)
    await _refuse_party(conn, company_id, before, by=by)
    await _keep(conn, company_id, before, refusal, by=by, now=now)
    reasons = [one.reason for one in refusal.items if one.reason is not None]
    request = replace(
        before,
        state=after,
        decided_by=role,
        decided_at=now,
        ground=reasons[0].ground if reasons else None,
        refused_until=min(one.until for one in reasons) if after is State.REFUSED else None,
    )
    if after is State.GRACE:
        # Another request may be under way beside a refused one.
        if before.state is State.REFUSED and await erasure.is_under_way(
            conn, company_id, before.driver_id
        ):
            raise ErasureUnderWay
        request = await erasure.into_grace(conn, company_id, request, by=role, now=now)
    else:
        await erasure.give_back(conn, company_id, before, now=now)
        request = replace(request, grace_until=None, account_before=None)
    said = {"outcome": outcome.value}
    told = dict(said)
    if reasons:
        categories = sorted(one.category.value for one in refusal.items)
        said |= {"ground": reasons[0].ground.value, "categories": ",".join(categories)}
        told = said | {"until": rfc3339(max(one.until for one in reasons))}
    await _settle(conn, company_id, request, told=told, facts=said, by=by, now=now)
    return request


async def refusal_text(
    conn: Connection, vault: Vault, company_id: UUID, request_id: UUID
) -> tuple[str, Locale]:
    """Return what was written to the driver with the last refusal, and its language.

    Raises
    ------
    RefusalMissing
    """
    text, locale = there(await holds.text(conn, vault, company_id, request_id), RefusalMissing)
    return text, Locale(locale)


async def fall_silent(
    conn: Connection, company_id: UUID, request_id: UUID, *, now: datetime
) -> Request | None:
    """Decide what nobody decided in time, inside ``gate.service.stopping``; the driver is told.

    The driver's own request is approved. What the staff asked for and no second person agreed to is
    called off. None where it was decided meanwhile.

    Raises
    ------
    ErasureMissing, GateMissing
    """
    before = await erasure.lock(conn, company_id, request_id)
    if before.state is not State.OPEN or before.answer_by is None or before.answer_by > now:
        return None
    if before.requested_by is not Role.DRIVER:
        return await _drop(conn, company_id, before, now=now)
    after = next_state(before.state, Act.LAPSE, None)
    return await _by_clock(conn, company_id, before, after, said=SILENCE, now=now)


async def run_again(
    conn: Connection, company_id: UUID, request_id: UUID, *, now: datetime
) -> Request | None:
    """Go on with an erasure whose refusal is over, inside ``gate.service.stopping``.

    None where it is not over, or the driver's erasure was asked for anew since: that one counts.

    Raises
    ------
    ErasureMissing, GateMissing
    """
    before = await erasure.lock(conn, company_id, request_id)
    until = before.refused_until
    if before.state is not State.REFUSED or until is None or until > now:
        return None
    if await erasure.asked_anew(conn, company_id, before):
        return None
    after = next_state(before.state, Act.RERUN, None)
    return await _by_clock(conn, company_id, before, after, said=EXPIRED, now=now)


async def waive_grace(
    conn: Connection, company_id: UUID, request_id: UUID, *, driver_id: UUID, now: datetime
) -> Request:
    """Let the driver give up what is left of the grace, whoever asked for the erasure.

    Raises
    ------
    ErasureMissing, ErasureActRefused, GateMissing
    """
    before = await erasure.lock(conn, company_id, request_id)
    if before.driver_id != driver_id:
        raise ErasureMissing
    after = next_state(before.state, Act.WAIVE, Role.DRIVER)
    request = replace(before, state=after, grace_until=now)
    await erasure.into_erasing(conn, company_id, request, now=now)
    await erasure.save(conn, company_id, request)
    await ledger.append(
        conn,
        company_id,
        LedgerAct.ERASURE_GRACE_WAIVED,
        actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        subject_id=driver_id,
        detail={"request_id": str(request_id)},
        now=now,
    )
    return request


async def set_answer_days(
    conn: Connection, company_id: UUID, days: int, *, by: Actor, now: datetime
) -> None:
    """Give the staff so many working days for an answer; requests that wait keep their time."""
    before = await erasure.answer_days(conn, company_id)
    await erasure.set_answer_days(conn, company_id, days)
    if days != before:
        await ledger.append(
            conn,
            company_id,
            LedgerAct.ERASURE_ANSWER_DAYS_SET,
            actor=by,
            subject_id=None,
            facts={"answer_days": days, "before": before},
            now=now,
        )


async def _refuse_party(conn: Connection, company_id: UUID, request: Request, *, by: Actor) -> None:
    """Let nobody decide who asked for it, or said what the driver disputes."""
    parties = await disputes.disputed_by_driver(conn, company_id, request.driver_id)
    if parties and by.member_id in {*parties, request.asked_by}:
        raise SecondPersonNeeded


async def _keep(
    conn: Connection,
    company_id: UUID,
    request: Request,
    refusal: Refusal,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Hold what is refused, in place of what was refused before."""
    driver_id, request_id = request.driver_id, request.request_id
    await holds.refuse(
        conn, company_id, driver_id, refusal.items, request_id=request_id, by=by, now=now
    )
    if refusal.text_sealed is not None and refusal.locale is not None:
        await holds.put_text(
            conn,
            company_id,
            driver_id,
            request_id,
            text_sealed=refusal.text_sealed,
            locale=refusal.locale.value,
            at=now,
        )


async def _by_clock(
    conn: Connection,
    company_id: UUID,
    before: Request,
    after: State,
    *,
    said: str,
    now: datetime,
) -> Request:
    decided = replace(before, state=after, ground=None, refused_until=None)
    request = await erasure.into_grace(conn, company_id, decided, by=None, now=now)
    await _settle(
        conn,
        company_id,
        request,
        told={"outcome": said},
        # The outcome that the ledger knows: for it this is a decision like any other.
        facts={"outcome": Outcome.APPROVE.value, "by_clock": said},
        by=SYSTEM,
        now=now,
    )
    return request


async def _drop(conn: Connection, company_id: UUID, before: Request, *, now: datetime) -> Request:
    after = next_state(before.state, Act.DROP, None)
    await erasure.give_back(conn, company_id, before, now=now)
    request = replace(before, state=after, cancelled_at=now)
    await _settle(
        conn,
        company_id,
        request,
        told={"outcome": DROPPED},
        facts={"outcome": Outcome.REFUSE.value, "by_clock": DROPPED},
        by=SYSTEM,
        now=now,
    )
    return request


async def _settle(
    conn: Connection,
    company_id: UUID,
    request: Request,
    *,
    told: Mapping[str, str],
    facts: Mapping[str, Json],
    by: Actor,
    now: datetime,
) -> None:
    """Write a decision down and tell it; last of all the ledger's entry."""
    await erasure.save(conn, company_id, request)
    values = {**told, **erasure.grace_values(request)}
    await notices.queue(
        conn, company_id, request.driver_id, NoticeKind.ERASURE_DECIDED, values, now=now
    )
    if request.state in {State.GRACE, State.ERASING}:
        # Since a refusal, consent may have been given again. Holds the head of the ledger.
        await erasure.stop_tracking(conn, company_id, request.driver_id, now=now)
    await ledger.append(
        conn,
        company_id,
        LedgerAct.ERASURE_DECIDED,
        actor=by,
        subject_id=request.driver_id,
        detail={"request_id": str(request.request_id)},
        facts=facts,
        now=now,
    )
