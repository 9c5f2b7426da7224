"""A person's rights over their own data, over HTTP."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from server.credentials.access import DRIVER, VAULT, me
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.ledger.model import ActorKind, ReadPurpose, Screen
from server.rights import service
from server.rights.model import CURSOR_CHARS_MAX, SHOWN_FOR, Looked


class ViewsQuery(Wire):
    since: Instant | None = Field(
        None, alias="from", description="Without it, the last thirty days."
    )
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = Field(
        None, description="`next_cursor` of the page before."
    )
    limit: int = Field(50, ge=1, le=200)


class LookedView(Wire):
    """Somebody could see where the driver was, at some time from `at` to `until`."""

    at: Instant
    until: Instant
    viewer_role: ActorKind
    viewer_name: str | None
    """Null for a customer, and for a member who was erased since."""
    purpose: ReadPurpose
    screen: Screen


@endpoint("GET", "/v1/me/views", access=DRIVER, raises=(CursorInvalid,))
async def list_views(request: web.Request, query: ViewsQuery) -> Page[LookedView]:
    """List who looked at the caller's positions, why, on which screen and when; latest first.

    Every look was written down before the position left. `customer` is whoever holds the link of
    a delivery. One line stands for all looks of five minutes.
    """
    async with transaction(request, readonly=True) as conn:
        found, following = await service.views(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            since=query.since or now(request) - SHOWN_FOR,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page[LookedView](items=[_view(one) for one in found], next_cursor=following)


def _view(one: Looked) -> LookedView:
    return LookedView(
        at=one.at,
        until=one.until,
        viewer_role=ActorKind(one.view.viewer_kind),
        viewer_name=one.name,
        purpose=ReadPurpose(one.view.purpose),
        screen=Screen(one.view.screen),
    )


ENDPOINTS: Final = (list_views,)
