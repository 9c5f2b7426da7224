"""The register of persons' requests, over HTTP."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import CALLER, DRIVER, STAFF, VAULT, me
from server.credentials.model import MemberMissing
from server.credentials.viewers import actor_of
from server.erasure.model import ErasureActRefused, ErasureUnderWay
from server.gate.model import GateMissing
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, PageQuery, Text, Wire
from server.person_requests import service
from server.person_requests.model import (
    CameBy,
    Kind,
    NewRequest,
    PersonRequestClosed,
    PersonRequestMissing,
    RequestTimesInvalid,
    ShownRequest,
    State,
)

TEXT_CHARS_MAX: Final = 2_000
CURSOR_CHARS_MAX: Final = 64


class NewPersonRequest(Wire):
    driver_id: UUID
    kind: Kind
    channel: CameBy
    received_at: Instant
    text: Annotated[str, Text(TEXT_CHARS_MAX)]
    """What was asked, in the person's words."""
    evidence: Annotated[str, Text(200)] | None = None
    """Where the letter or the e-mail lies."""
    answer_by: Instant | None = None
    """Without it, three working days after it came; at most thirty days."""


class PersonAnswer(Wire):
    text: Annotated[str, Text(TEXT_CHARS_MAX)]


class PersonRequestView(Wire):
    person_request_id: UUID
    driver_id: UUID
    kind: Kind
    channel: CameBy
    received_at: Instant
    recorded_at: Instant
    recorded_by: str | None
    """Who of the staff wrote it down."""
    text: str | None
    evidence: str | None
    answer_by: Instant
    state: State
    answer: str | None
    answered_at: Instant | None
    answered_by: str | None
    reminded_at: Instant | None
    escalated_at: Instant | None
    """When the main users and the person were told that its time is over."""


class PersonRequestsQuery(Wire):
    state: State | None = None
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@endpoint(
    "POST",
    "/v1/person-requests",
    access=STAFF,
    status=HTTPStatus.CREATED,
    raises=(
        MemberMissing,
        GateMissing,
        RequestTimesInvalid,
        ErasureUnderWay,
        ErasureActRefused,
        StopUnconfirmed,
    ),
)
async def record_person_request(
    request: web.Request, *, body: NewPersonRequest
) -> PersonRequestView:
    """Record what a driver asked for by letter, e-mail or phone, in their name; they are told so.

    A request for erasure stops tracking at once and waits for a decision, as the driver's own does.
    """
    shown = await service.record(
        request.app[POOL],
        request.app[VAULT],
        request[COMPANY],
        NewRequest(
            driver_id=body.driver_id,
            kind=body.kind,
            came_by=body.channel,
            received_at=body.received_at,
            said=body.text,
            evidence=body.evidence,
            answer_by=body.answer_by,
        ),
        by=actor_of(request[CALLER]),
        now=now(request),
    )
    if body.kind is Kind.ERASURE:
        await confirm(request)
    return _view(shown)


@endpoint("GET", "/v1/person-requests", access=STAFF, raises=(CursorInvalid,))
async def list_person_requests(
    request: web.Request, *, query: PersonRequestsQuery
) -> Page[PersonRequestView]:
    """List what persons asked for, the latest first."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.requests(
            conn,
            request.app[VAULT],
            request[COMPANY],
            driver_id=None,
            state=query.state,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[_view(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/person-requests/{person_request_id}/answer",
    access=STAFF,
    raises=(PersonRequestMissing, PersonRequestClosed),
)
async def answer_person_request(
    request: web.Request, *, person_request_id: UUID, body: PersonAnswer
) -> PersonRequestView:
    """Answer a request; the person is told so and reads the answer."""
    async with transaction(request) as conn:
        shown = await service.answer(
            conn,
            request.app[VAULT],
            request[COMPANY],
            person_request_id,
            body.text,
            by=actor_of(request[CALLER]),
            now=now(request),
        )
    return _view(shown)


@endpoint("GET", "/v1/me/requests", access=DRIVER, raises=(CursorInvalid,))
async def list_my_requests(request: web.Request, *, query: PageQuery) -> Page[PersonRequestView]:
    """List what was recorded in the caller's name: what, by whom, until when, and the answer."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.requests(
            conn,
            request.app[VAULT],
            request[COMPANY],
            driver_id=me(request),
            state=None,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[_view(one) for one in found], next_cursor=following)


def _view(shown: ShownRequest) -> PersonRequestView:
    one = shown.request
    return PersonRequestView(
        person_request_id=one.person_request_id,
        driver_id=one.driver_id,
        kind=one.kind,
        channel=one.came_by,
        received_at=one.received_at,
        recorded_at=one.recorded_at,
        recorded_by=shown.recorded_by_name,
        text=shown.said,
        evidence=shown.evidence,
        answer_by=one.answer_by,
        state=one.state,
        answer=shown.answer,
        answered_at=one.answered_at,
        answered_by=shown.answered_by_name,
        reminded_at=one.reminded_at,
        escalated_at=one.escalated_at,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    record_person_request,
    list_person_requests,
    answer_person_request,
    list_my_requests,
)
