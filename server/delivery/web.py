"""Where the company's messages stand, for its staff: no text, no address."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import CALLER, STAFF
from server.delivery import service
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices.model import DeliveryState, Event, NoticeMissing, Reason

NOTICES_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64


class DeliveryView(Wire):
    notice_id: UUID
    member_id: UUID
    kind: NoticeKind
    channel: Channel
    state: DeliveryState
    attempts: int
    queued_at: Instant
    changed_at: Instant
    next_attempt_at: Instant | None


class DeliveriesQuery(Wire):
    member_id: UUID | None = None
    kind: NoticeKind | None = None
    state: DeliveryState | None = None
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=NOTICES_MAX)] = 50
    """Notices, each with all its deliveries."""


class DeliveryEventView(Wire):
    channel: Channel
    event: Event
    reason: Reason | None
    at: Instant


@endpoint("GET", "/v1/notice-deliveries", access=STAFF, raises=(CursorInvalid,))
async def list_notice_deliveries(
    request: web.Request, *, query: DeliveriesQuery
) -> Page[DeliveryView]:
    """List where the company's notices stand, newest first: no text, no address.

    Those of an incident are left out for dispatchers.
    """
    async with transaction(request, readonly=True) as conn:
        found, following = await service.deliveries(
            conn,
            request[COMPANY],
            member_id=query.member_id,
            kind=query.kind,
            state=query.state,
            role=request[CALLER].role,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[DeliveryView.model_validate(one) for one in found], next_cursor=following)


@endpoint("GET", "/v1/notices/{notice_id}/deliveries", access=STAFF, raises=(NoticeMissing,))
async def read_notice_deliveries(
    request: web.Request, *, notice_id: UUID
) -> Page[DeliveryEventView]:
    """Read everything that happened to one notice's deliveries, in order, on one page."""
    async with transaction(request, readonly=True) as conn:
        found = await service.evidence(conn, request[COMPANY], notice_id, role=request[CALLER].role)
    return Page(items=[DeliveryEventView.model_validate(one) for one in found])


ENDPOINTS: Final = (list_notice_deliveries, read_notice_deliveries)
