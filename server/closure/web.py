"""The closing of a company: what everybody in it may know, and what a main user says."""

from http import HTTPStatus
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from server.closure import service
from server.closure.model import (
    DAYS_MAX,
    DAYS_MIN,
    AlreadyClosed,
    Closing,
    ClosingAsked,
    ClosingMissing,
)
from server.credentials.access import ANY_MEMBER, MAIN_USER, after_step_up
from server.credentials.model import StepUpNeeded
from server.credentials.viewers import viewer
from server.kit.api import Endpoint, endpoint
from server.kit.errors import there
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Wire
from server.ledger.model import ActorKind


class ClosingView(Wire):
    """When a company closes. Its drivers are erased from that day on."""

    asked_at: Instant
    asked_by_role: ActorKind
    """A main user, or the operator of the platform."""
    closes_at: Instant
    closed_at: Instant | None
    """Null until it has; so long it can be kept open."""


class ClosingBody(Wire):
    in_days: Annotated[int, Field(ge=DAYS_MIN, le=DAYS_MAX)]


@endpoint("GET", "/v1/company/closing", access=ANY_MEMBER, raises=(ClosingMissing,))
async def read_closing(request: web.Request) -> ClosingView:
    """Read when the company closes, if it does."""
    async with transaction(request, readonly=True) as conn:
        found = there(await service.closing(conn, request[COMPANY]), ClosingMissing)
    return _view(found)


@endpoint(
    "POST",
    "/v1/company/closing",
    access=after_step_up(MAIN_USER),
    status=HTTPStatus.CREATED,
    raises=(ClosingAsked, StepUpNeeded),
)
async def ask_for_closing(request: web.Request, *, body: ClosingBody) -> ClosingView:
    """Let the company close on a day to come. Everybody in it is told, and nobody new is invited.

    On the day the staff's log-ins and API tokens end, recording stops, and every driver goes into
    erasure, with the company's grace.
    """
    async with transaction(request) as conn:
        asked = await service.ask(
            conn, request[COMPANY], days=body.in_days, by=viewer(request), now=now(request)
        )
    return _view(asked)


@endpoint(
    "POST",
    "/v1/company/closing/keep-open",
    access=MAIN_USER,
    raises=(ClosingMissing, AlreadyClosed),
)
async def keep_company_open(request: web.Request) -> ClosingView:
    """Call the closing off, whoever asked for it; return what is not going to happen."""
    async with transaction(request) as conn:
        found = await service.keep_open(
            conn, request[COMPANY], by=viewer(request), now=now(request)
        )
    return _view(found)


def _view(found: Closing) -> ClosingView:
    return ClosingView(
        asked_at=found.asked_at,
        asked_by_role=found.asked_by,
        closes_at=found.closes_at,
        closed_at=found.closed_at,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_closing, ask_for_closing, keep_company_open)
