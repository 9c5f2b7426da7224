"""Deciding on requests for erasure, and until when that has to be done."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts.model import Locale
from server.credentials.access import ANY_MEMBER, CALLER, DRIVER, MAIN_USER, STAFF, VAULT, me
from server.credentials.viewers import viewer
from server.erasure import service as erasure
from server.erasure.model import (
    ErasureActRefused,
    ErasureMissing,
    ErasureUnderWay,
    Outcome,
)
from server.erasure.web import ErasureView, view
from server.erasure_decisions import service
from server.erasure_decisions.model import (
    ITEMS_MAX,
    Decision,
    DecisionIncomplete,
    DecisionLanguage,
    Item,
    RefusalMissing,
    SecondPersonNeeded,
)
from server.gate.web import stopping
from server.holds.model import (
    EVIDENCE_CHARS_MAX,
    TEXT_CHARS_MAX,
    Ground,
    HeldCategory,
    HoldIncomplete,
    HoldsTooMany,
    HoldTooLate,
)
from server.journal.model import StopUnconfirmed
from server.kit.api import endpoint
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, ProfileText, Wire
from server.notices import service as notices

ANSWER_DAYS_MAX: Final = 15


class RefusedItem(Wire):
    """A category that is kept, although the driver asked to be erased."""

    category: HeldCategory
    ground: Ground
    until: Instant
    evidence_ref: Annotated[str, ProfileText(EVIDENCE_CHARS_MAX)] | None = None


class DecisionBody(Wire):
    """An approval has the outcome alone; a refusal, whole or in part, all of it."""

    outcome: Outcome
    items: list[RefusedItem] = Field(default_factory=list, max_length=ITEMS_MAX)
    notice_text: Annotated[str, ProfileText(TEXT_CHARS_MAX, lines=True)] | None = Field(
        default=None, description="What the driver is told, in their language."
    )
    locale: Locale | None = None


class RefusalText(Wire):
    request_id: UUID
    notice_text: str
    locale: Locale


class AnswerTime(Wire):
    answer_days: int = Field(
        ge=1,
        le=ANSWER_DAYS_MAX,
        description="So many working days there are to answer a request; then silence approves it.",
    )


@endpoint(
    "POST",
    "/v1/erasure-requests/{request_id}/decision",
    access=STAFF,
    raises=(
        ErasureMissing,
        ErasureActRefused,
        ErasureUnderWay,
        DecisionIncomplete,
        DecisionLanguage,
        SecondPersonNeeded,
        HoldIncomplete,
        HoldsTooMany,
        HoldTooLate,
        StopUnconfirmed,
    ),
)
async def decide_erasure(
    request: web.Request, *, request_id: UUID, body: DecisionBody
) -> ErasureView:
    """Approve a request for erasure, or refuse it in part or whole, which ends by itself.

    A refusal in part erases all that it does not name.
    """
    at, by, company_id = now(request), viewer(request), request[COMPANY]
    decision = Decision(
        outcome=body.outcome,
        items=[Item(**dict(one)) for one in body.items],
        notice_text=body.notice_text,
        locale=body.locale,
    )
    async with transaction(request, readonly=True) as conn:
        found = await service.decision_due(conn, company_id, request_id, decision, by=by)
    refusal = await service.sealed(request.app[VAULT], company_id, found, decision, now=at)
    async with stopping(request, found.driver_id, at) as conn:
        decided = await service.decide(
            conn, company_id, request_id, body.outcome, refusal, by=by, now=at
        )
        await erasure.wake(conn, company_id, decided)
        steps = await erasure.steps(conn, company_id, [request_id])
    await notices.drain(request.app[POOL], company_id, found.driver_id)
    return view(decided, steps[request_id], at)


@endpoint(
    "GET",
    "/v1/erasure-requests/{request_id}/refusal",
    access=ANY_MEMBER,
    raises=(ErasureMissing, RefusalMissing),
)
async def read_refusal(request: web.Request, *, request_id: UUID) -> RefusalText:
    """Read what the company wrote to the driver when it refused; what it keeps are its holds."""
    company_id = request[COMPANY]
    async with transaction(request, readonly=True) as conn:
        await erasure.request(conn, company_id, request_id, caller=request[CALLER])
        text, locale = await service.refusal_text(conn, request.app[VAULT], company_id, request_id)
    return RefusalText(request_id=request_id, notice_text=text, locale=locale)


@endpoint(
    "POST",
    "/v1/erasure-requests/{request_id}/waive-grace",
    access=DRIVER,
    raises=(ErasureMissing, ErasureActRefused),
)
async def waive_grace(request: web.Request, *, request_id: UUID) -> ErasureView:
    """Give up the rest of the grace: the erasing begins at once. Only the driver may."""
    at, company_id = now(request), request[COMPANY]
    async with transaction(request) as conn:
        waived = await service.waive_grace(
            conn, company_id, request_id, driver_id=me(request), now=at
        )
        await erasure.wake(conn, company_id, waived)
        steps = await erasure.steps(conn, company_id, [request_id])
    return view(waived, steps[request_id], at)


@endpoint("GET", "/v1/erasure-settings", access=STAFF)
async def read_erasure_settings(request: web.Request) -> AnswerTime:
    """Read how long the staff has to answer a driver's request for erasure."""
    async with transaction(request, readonly=True) as conn:
        days = await erasure.answer_days(conn, request[COMPANY])
    return AnswerTime(answer_days=days)


@endpoint("PUT", "/v1/erasure-settings", access=MAIN_USER)
async def set_erasure_settings(request: web.Request, *, body: AnswerTime) -> AnswerTime:
    """Say how long the staff has to answer. What was asked for before keeps its time."""
    async with transaction(request) as conn:
        await service.set_answer_days(
            conn, request[COMPANY], body.answer_days, by=viewer(request), now=now(request)
        )
    return body


ENDPOINTS: Final = (
    decide_erasure,
    read_refusal,
    waive_grace,
    read_erasure_settings,
    set_erasure_settings,
)
