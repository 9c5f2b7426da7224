"""Asking for a driver's erasure, deciding on it, and watching it happen."""

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import ANY_MEMBER, CALLER, staff
from server.credentials.model import MemberState, MemberStateRefused, Role, Scope
from server.credentials.viewers import viewer
from server.erasure import service
from server.erasure.model import (
    ErasureActRefused,
    ErasureMissing,
    ErasureNotYours,
    ErasureUnderWay,
    Reason,
    Request,
    State,
    Step,
    StepDone,
    waiting_for,
)
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.holds.model import Ground
from server.journal.model import StopUnconfirmed
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.notices import service as notices
from server.standing.model import BlockNotYours

REQUESTS_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64


class AskedReason(StrEnum):
    """Why somebody asks. That a company has closed nobody says."""

    LEFT_COMPANY = Reason.LEFT_COMPANY.value
    OWN_WISH = Reason.OWN_WISH.value
    OTHER = Reason.OTHER.value


class ErasureAsked(Wire):
    """A driver may ask for their own erasure only."""

    driver_id: UUID
    reason_code: AskedReason | None = None


class ErasureStarted(Wire):
    request_id: UUID
    driver_id: UUID
    state: State
    answer_by: Instant | None = None
    """When silence approves it, if it waits for a decision."""
    grace_until: Instant | None = None
    tracking_stopped_at: Instant


class StepView(Wire):
    step: Step
    done_at: Instant | None = None


class ErasureView(Wire):
    request_id: UUID
    driver_id: UUID
    state: State
    requested_by_role: Role | None = None
    requested_at: Instant
    reason_code: Reason | None = None
    answer_by: Instant | None = None
    """Until when it has to be decided: then silence approves it."""
    decided_by_role: Role | None = None
    """Null where the clock decided it, because nobody did in time."""
    decided_at: Instant | None = None
    ground: Ground | None = None
    refused_until: Instant | None = None
    """When a refusal runs again by itself. What it names, and why, are holds."""
    grace_until: Instant | None = None
    cancelled_by_role: Role | None = None
    cancelled_at: Instant | None = None
    steps: list[StepView]
    counts: dict[Step, int]
    """What each step removed."""
    waiting_for: Step | None = None
    """Where the erasing is stuck, an hour after it was due: at a search that still finds rows, or
    at a step that fails. The log says more."""
    erased_at: Instant | None = None
    backups_unreadable_at: Instant | None = None
    """Since when what was sealed is unreadable in every backup; then there is a certificate."""
    after_restore: bool
    """It was asked for before a backup was restored: by whom, when and why is lost."""


class Unblocked(Wire):
    driver_id: UUID
    state: MemberState


class ErasuresQuery(Wire):
    state: State | None = None
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=REQUESTS_MAX)] = 50


@endpoint(
    "POST",
    "/v1/erasure-requests",
    access=ANY_MEMBER,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, ErasureUnderWay, StopUnconfirmed),
)
async def ask_for_erasure(request: web.Request, *, body: ErasureAsked) -> ErasureStarted:
    """Ask for a driver's account and data to be erased.

    Recording stops at once. A request by staff is decided with it; a driver's own waits for a
    decision.
    """
    at = now(request)
    driver_id = service.visible_driver(request[CALLER], body.driver_id)
    reason = None if body.reason_code is None else Reason(body.reason_code.value)
    async with stopping(request, driver_id, at) as conn:
        asked = await service.ask(
            conn, request[COMPANY], driver_id, by=viewer(request), reason=reason, now=at
        )
        await service.wake(conn, request[COMPANY], asked)
    await notices.drain(request.app[POOL], request[COMPANY], driver_id)
    return ErasureStarted(
        request_id=asked.request_id,
        driver_id=driver_id,
        state=asked.state,
        answer_by=asked.answer_by,
        grace_until=asked.grace_until,
        tracking_stopped_at=asked.requested_at,
    )


@endpoint("GET", "/v1/erasure-requests", access=ANY_MEMBER, raises=(CursorInvalid,))
async def list_erasures(request: web.Request, *, query: ErasuresQuery) -> Page[ErasureView]:
    """List requests for erasure, oldest first; drivers see their own."""
    async with transaction(request, readonly=True) as conn:
        found, next_cursor = await service.requests(
            conn,
            request[COMPANY],
            caller=request[CALLER],
            state=query.state,
            cursor=query.cursor,
            limit=query.limit,
        )
        steps = await service.steps(conn, request[COMPANY], [one.request_id for one in found])
    at = now(request)
    items = [view(one, steps[one.request_id], at) for one in found]
    return Page(items=items, next_cursor=next_cursor)


@endpoint("GET", "/v1/erasure-requests/{request_id}", access=ANY_MEMBER, raises=(ErasureMissing,))
async def read_erasure(request: web.Request, *, request_id: UUID) -> ErasureView:
    """Read how far a request for erasure is."""
    async with transaction(request, readonly=True) as conn:
        found = await service.request(conn, request[COMPANY], request_id, caller=request[CALLER])
        steps = await service.steps(conn, request[COMPANY], [request_id])
    return view(found, steps[request_id], now(request))


@endpoint(
    "POST",
    "/v1/erasure-requests/{request_id}/cancel",
    access=ANY_MEMBER,
    raises=(ErasureMissing, ErasureActRefused, ErasureNotYours),
)
async def cancel_erasure(request: web.Request, *, request_id: UUID) -> ErasureView:
    """Cancel a request for erasure while it waits for its decision or in its grace."""
    at, company_id = now(request), request[COMPANY]
    async with transaction(request) as conn:
        await service.request(conn, company_id, request_id, caller=request[CALLER])
        cancelled = await service.cancel(conn, company_id, request_id, by=viewer(request), now=at)
        steps = await service.steps(conn, company_id, [request_id])
    return view(cancelled, steps[request_id], at)


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/unblock",
    access=staff(Scope.DRIVERS_WRITE),
    raises=(GateMissing, MemberStateRefused, ErasureUnderWay, BlockNotYours),
)
async def unblock_driver(request: web.Request, *, driver_id: UUID) -> Unblocked:
    """Let the driver work again, unless their erasure was asked for.

    Consents are theirs and stay as they left them.
    """
    async with transaction(request) as conn:
        await service.unblock(
            conn, request[COMPANY], driver_id, by=viewer(request), now=now(request)
        )
    return Unblocked(driver_id=driver_id, state=MemberState.ACTIVE)


def view(found: Request, steps: list[StepDone], at: datetime) -> ErasureView:
    return ErasureView(
        request_id=found.request_id,
        driver_id=found.driver_id,
        state=found.state,
        requested_by_role=None if found.after_restore else found.requested_by,
        requested_at=found.requested_at,
        reason_code=found.reason,
        answer_by=found.answer_by,
        decided_by_role=found.decided_by,
        decided_at=found.decided_at,
        ground=found.ground,
        refused_until=found.refused_until,
        grace_until=found.grace_until,
        cancelled_by_role=found.cancelled_by,
        cancelled_at=found.cancelled_at,
        steps=[StepView(step=one.step, done_at=one.done_at) for one in steps],
        counts={one.step: one.rows for one in steps},
        waiting_for=waiting_for(found, steps, at),
        erased_at=found.erased_at,
        backups_unreadable_at=found.backups_unreadable_at,
        after_restore=found.after_restore,
    )


ENDPOINTS: Final = (
    ask_for_erasure,
    list_erasures,
    read_erasure,
    cancel_erasure,
    unblock_driver,
)
