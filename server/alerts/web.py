"""Alerts over HTTP: reading and acknowledging them, their limits, and who is told."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.alerts import choices, reading
from server.alerts.model import (
    AlertHead,
    AlertKind,
    AlertLimitsUneven,
    AlertMissing,
    Limits,
    ShownAlert,
    Wishes,
)
from server.credentials.access import CALLER, MAIN_USER, STAFF, VAULT, me, staff
from server.credentials.model import NotAuthenticated, Role, Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.handover import Drawn, ReadsBusy
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, PageQuery, Wire
from server.reads.model import ReadPurpose, Screen

Minutes = Annotated[int, Field(ge=1, le=1_440)]
Metres = Annotated[int, Field(ge=50, le=100_000)]


class AlertQuery(PageQuery):
    open: bool | None = Field(None, description="Only those that stand, or only those cleared.")
    route_id: UUID | None = None
    driver_id: UUID | None = None


class AlertView(Wire):
    alert_id: UUID
    kind: AlertKind
    route_id: UUID
    driver_id: UUID
    occurrence: int = Field(description="The how-manieth of its kind on this route, from 1.")
    since: Instant = Field(description="Since when it was so, as it was raised.")
    raised_at: Instant
    cleared_at: Instant | None
    acknowledged_at: Instant | None
    acknowledged_by: UUID | None
    acknowledged_by_name: str | None
    late_s: float | None = Field(description="Of `late`: how late, as it was raised.")
    off_route_m: float | None = Field(description="Of `off_route`: how far, as it was raised.")
    next_stop_id: UUID | None = Field(description="On the way to which stop it was raised.")


class AcknowledgedView(Wire):
    alert_id: UUID
    acknowledged_at: Instant | None
    acknowledged_by: UUID | None


class LimitsBody(Wire):
    """When the company is alerted. Null: not at all."""

    late_min: Minutes | None
    off_route_m: Metres | None
    off_route_min: Minutes | None
    no_signal_min: Minutes | None
    long_stop_min: Minutes | None


class WishesBody(Wire):
    """Of which alerts the caller wants notices."""

    late: bool
    off_route: bool
    no_signal: bool
    long_stop: bool


@endpoint(
    "GET",
    "/v1/alerts",
    access=staff(Scope.TRACKS_READ),
    answer=Page[AlertView],
    raises=(CursorInvalid, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def list_alerts(request: web.Request, *, query: AlertQuery) -> web.StreamResponse:
    """List alerts, newest first.

    They come of positions that were read for the purpose `plan_fact`: those about a driver are
    shown while the driver consents to it, and only those raised since.
    """

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await reading.page(
                conn,
                request.app[VAULT],
                request[COMPANY],
                is_open=query.open,
                route_id=query.route_id,
                driver_id=query.driver_id,
                cursor=query.cursor,
                limit=query.limit,
                now=now(request),
            )
        items = [_view(one) for one in reading.opened(found)]
        body = Page[AlertView](items=items, next_cursor=found.next_cursor)
        return Drawn(body=body.model_dump_json().encode(), gate=None, gates=found.gates)

    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.ALERTS)
    return await handover.answer(request, seen, draw)


@endpoint(
    "POST",
    "/v1/alerts/{alert_id}/acknowledge",
    access=STAFF,
    raises=(AlertMissing,),
)
async def acknowledge_alert(request: web.Request, *, alert_id: UUID) -> AcknowledgedView:
    """Say that one sees to an alert. Who was first stays; again changes nothing."""
    async with transaction(request) as conn:
        found = await reading.acknowledge(
            conn, request[COMPANY], alert_id, by_member=me(request), now=now(request)
        )
    return _acknowledged(found)


@endpoint("GET", "/v1/alert-limits", access=STAFF)
async def read_alert_limits(request: web.Request) -> LimitsBody:
    """Read when the company is alerted."""
    async with transaction(request, readonly=True) as conn:
        found = await choices.limits(conn, request[COMPANY])
    return LimitsBody.model_validate(found)


@endpoint("PUT", "/v1/alert-limits", access=MAIN_USER, raises=(AlertLimitsUneven,))
async def set_alert_limits(request: web.Request, *, body: LimitsBody) -> LimitsBody:
    """Choose when the company is alerted. An alert of a kind that is switched off is cleared."""
    async with transaction(request) as conn:
        found = await choices.set_limits(
            conn, request[COMPANY], Limits(**dict(body)), now=now(request)
        )
    return LimitsBody.model_validate(found)


@endpoint("GET", "/v1/me/alert-wishes", access=STAFF)
async def read_alert_wishes(request: web.Request) -> WishesBody:
    """Read of which alerts one wants notices: usually of all, as a main user of none."""
    async with transaction(request, readonly=True) as conn:
        found = await choices.wishes(conn, request[COMPANY], me(request), role=_role(request))
    return _wishes(found)


@endpoint("PUT", "/v1/me/alert-wishes", access=STAFF)
async def set_alert_wishes(request: web.Request, *, body: WishesBody) -> WishesBody:
    """Choose of which alerts one wants notices. The live stream tells of all of them anyway."""
    wanted = {kind: getattr(body, kind.value) for kind in AlertKind}
    async with transaction(request) as conn:
        await choices.set_wishes(conn, request[COMPANY], me(request), wanted, now=now(request))
    return body


def _role(request: web.Request) -> Role:
    role = request[CALLER].role
    if role is None:
        raise NotAuthenticated
    return role


def _wishes(found: Wishes) -> WishesBody:
    return WishesBody(**{kind.value: found[kind] for kind in AlertKind})


def _view(shown: ShownAlert) -> AlertView:
    head, particulars = shown.head, shown.particulars
    return AlertView(
        alert_id=head.alert_id,
        kind=head.kind,
        route_id=head.route_id,
        driver_id=head.driver_id,
        occurrence=head.occurrence,
        since=particulars.since,
        raised_at=head.raised_at,
        cleared_at=head.cleared_at,
        acknowledged_at=head.acknowledged_at,
        acknowledged_by=head.acknowledged_by,
        acknowledged_by_name=shown.acknowledged_by_name,
        late_s=particulars.late_s,
        off_route_m=particulars.off_route_m,
        next_stop_id=particulars.next_stop_id,
    )


def _acknowledged(head: AlertHead) -> AcknowledgedView:
    return AcknowledgedView(
        alert_id=head.alert_id,
        acknowledged_at=head.acknowledged_at,
        acknowledged_by=head.acknowledged_by,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    list_alerts,
    acknowledge_alert,
    read_alert_limits,
    set_alert_limits,
    read_alert_wishes,
    set_alert_wishes,
)
