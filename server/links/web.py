"""Customers' links over HTTP: the staff make and end them, whoever has one looks."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import PUBLIC, VAULT, staff
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate import service as gate
from server.gate.handover import Drawn, ReadsBusy, Viewing
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit import tokens
from server.kit.api import endpoint
from server.kit.client_address import client_address
from server.kit.cursors import CursorInvalid
from server.kit.neighbours import neighbours_of
from server.kit.tokens import TOKEN_CHARS_MAX
from server.kit.web import CLOCK, COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Latitude, Longitude, Page, Text, Wire
from server.links import arrivals, service
from server.links.model import (
    CustomerLink,
    LinkEnded,
    LinkExpiryInvalid,
    LinkMissing,
    LinkState,
    Phase,
    RouteUnassigned,
    StopMissing,
    TooManyLooks,
    Tracked,
    tracked,
)
from server.links.pace import Pace
from server.links.progress import ProgressReports
from server.links.service import Found
from server.reads.model import ReadPurpose, Screen
from server.routes.changes import RouteCancelled
from server.routes.model import RouteNotFound
from server.tracking.model import TrackTooLong

PROGRESS: web.AppKey[ProgressReports] = web.AppKey("PROGRESS")
PACE: web.AppKey[Pace] = web.AppKey("PACE")
DRAWINGS_MAX: Final = 16
DRAWINGS_WAITING_MAX: Final = 500
LINKS: Final = staff(Scope.LINKS_WRITE)

# Apart from those of tracks and reports: the public must not keep the staff waiting.
_turns: Final = handover.Turns(DRAWINGS_MAX, waiting_max=DRAWINGS_WAITING_MAX)


class NewLink(Wire):
    expires_at: Instant | None = Field(
        None, description="Without it, two hours after the planned end of the stop."
    )


class LinkView(Wire):
    """What the company did with a link. Whether the driver has arrived is not told here."""

    link_id: UUID
    route_id: UUID
    stop_id: UUID
    state: LinkState
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None


class LinkMade(LinkView):
    url_token: str
    """Shown once: it belongs at the end of the address that the customer gets."""


class LinkQuery(Wire):
    route_id: UUID | None = None
    cursor: Annotated[str, Text(64)] | None = None
    limit: int = Field(50, ge=1, le=200)


class SpotView(Wire):
    lat: Latitude
    lon: Longitude
    grid_m: Annotated[int, Field(ge=1, le=1_000, description="To how many metres it is rounded.")]
    fix_at: Instant


class TrackView(Wire):
    """What a customer may know. ``not_shared`` never tells a cause."""

    phase: Phase
    position: SpotView | None
    eta: Instant | None
    planned_arrival: Instant | None
    window_start: Instant | None
    window_end: Instant | None
    server_now: Instant


@endpoint(
    "POST",
    "/v1/routes/{route_id}/stops/{stop_id}/links",
    access=LINKS,
    status=HTTPStatus.CREATED,
    raises=(RouteNotFound, StopMissing, RouteCancelled, RouteUnassigned, LinkExpiryInvalid),
)
async def create_link(
    request: web.Request, *, route_id: UUID, stop_id: UUID, body: NewLink
) -> LinkMade:
    """Make a link that shows a customer how far their delivery is.

    It shows a position only while the driver agrees to `customer_link`, is on shift and on the
    way with this route, from its planned start until they arrive.
    """
    at = now(request)
    async with transaction(request) as conn:
        link, token = await service.create(
            conn,
            request.app[VAULT],
            request[COMPANY],
            route_id,
            stop_id,
            expires_at=body.expires_at,
            by=viewer(request),
            now=at,
        )
    return LinkMade(url_token=token, **dict(_view(link, at)))


@endpoint("GET", "/v1/links", access=LINKS, raises=(CursorInvalid,))
async def list_links(request: web.Request, query: LinkQuery) -> Page[LinkView]:
    """List links, of one route or of all. Tokens are not among what is known of them."""
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found, following = await service.page(
            conn, request[COMPANY], query.route_id, cursor=query.cursor, limit=query.limit
        )
    return Page[LinkView](items=[_view(one, at) for one in found], next_cursor=following)


@endpoint("GET", "/v1/links/{link_id}", access=LINKS, raises=(LinkMissing,))
async def get_link(request: web.Request, *, link_id: UUID) -> LinkView:
    """Read what the company did with a link. An arrival is read in the report of the route."""
    async with transaction(request, readonly=True) as conn:
        found = await service.get(conn, request[COMPANY], link_id)
    return _view(found, now(request))


@endpoint("POST", "/v1/links/{link_id}/revoke", access=LINKS, raises=(LinkMissing, StopUnconfirmed))
async def revoke_link(request: web.Request, *, link_id: UUID) -> LinkView:
    """End a link for good. When this is answered, no answer of it shows anything any more."""
    at = now(request)
    async with transaction(request) as conn:
        link = await service.revoke(conn, request[COMPANY], link_id, by=viewer(request), now=at)
    await gate.drain_frames(request.app[POOL], request[COMPANY])
    await confirm(request)
    return _view(link, at)


def _view(link: CustomerLink, at: datetime) -> LinkView:
    return LinkView(
        link_id=link.link_id,
        route_id=link.route_id,
        stop_id=link.stop_id,
        state=link.state(at),
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked_at=link.revoked_at,
    )


@endpoint(
    "GET",
    "/v1/track/{token}",
    access=PUBLIC,
    answer=TrackView,
    raises=(LinkMissing, LinkEnded, TooManyLooks, TrackTooLong, ReadsBusy),
    purposes=(ReadPurpose.CUSTOMER_LINK,),
)
async def read_tracked(
    request: web.Request, *, token: Annotated[str, Text(TOKEN_CHARS_MAX)]
) -> web.StreamResponse:
    """Read how far a delivery is, with the token of its link.

    The position is rounded to 100 m, within two kilometres of the stop to 10 m. Whatever the
    reason that there is none, the answer is the same. Each look is told to the driver.
    """
    presented = tokens.parse(token)
    if presented is None or presented.kind != service.TOKEN_KIND:
        presented = None
    digest = None if presented is None else presented.digest
    await request.app[PACE].take(digest, client_address(request))
    if presented is None:
        raise LinkMissing
    # A claim: it only decides whose rows the look-up may see.
    request[COMPANY] = presented.company_id
    async with transaction(request, readonly=True) as conn:
        link = await service.of_token(conn, request[COMPANY], presented.digest, now=now(request))
    viewing = handover.viewing(
        request, service.customer_of(link), ReadPurpose.CUSTOMER_LINK, Screen.LINK
    )
    draw = partial(_draw, request, link, viewing)
    return await handover.answer(request, viewing, draw, turns=_turns)


async def _draw(request: web.Request, link: CustomerLink, seen: Viewing) -> Drawn:
    company_id, at = request[COMPANY], now(request)
    async with transaction(request, readonly=True) as conn:
        found = await service.gather_one(conn, request.app[VAULT], company_id, link, now=at)
    may_know = found.consented.since(at) is not None
    progress = await request.app[PROGRESS].of(company_id, link.route_id, reported=may_know, now=at)
    stop = progress.stops.get(link.stop_id)
    if stop is None:
        raise LinkEnded
    if arrivals.is_over(found, stop, progress, now=at):
        await _end(request, found, seen, at)
        found = replace(found, position=None)
    shown = tracked(stop, progress, found.consented, found.position, now=at)
    clock = request.app[CLOCK]
    return Drawn(
        body=_body(shown, at),
        gate=None if shown.spot is None else found.consented.gate,
        stands=lambda conn: service.stands(conn, company_id, found, now=clock()),
    )


async def _end(request: web.Request, found: Found, seen: Viewing, at: datetime) -> None:
    """End the link by the arrival. Returns where it may not, because consents just changed.

    Raises
    ------
    LinkEnded, ReadsBusy
    """
    # That it has ended is told from where the driver is: a look like one at a position.
    await seen.at((found.driver_id,))
    try:
        await arrivals.note(request.app[POOL], request[COMPANY], [found], now=at)
    except TimeoutError:
        raise ReadsBusy from None
    async with transaction(request, readonly=True) as conn:
        link = await service.get(conn, request[COMPANY], found.link.link_id)
    if link.has_ended(at):
        raise LinkEnded


def _body(shown: Tracked, at: datetime) -> bytes:
    view = TrackView(
        phase=shown.phase,
        position=None if shown.spot is None else SpotView.model_validate(shown.spot),
        eta=shown.eta,
        planned_arrival=shown.stop.planned_arrival,
        window_start=shown.stop.window_start,
        window_end=shown.stop.window_end,
        server_now=at,
    )
    return view.model_dump_json().encode()


async def showing(app: web.Application) -> AsyncIterator[None]:
    """Hold what links share in this process. An entry of ``cleanup_ctx``; needs POOL and VAULT."""
    app[PROGRESS] = ProgressReports(app[POOL], app[VAULT])
    app[PACE] = Pace(neighbours=neighbours_of(app))
    yield


ENDPOINTS: Final = (create_link, list_links, get_link, revoke_link, read_tracked)
