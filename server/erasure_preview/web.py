"""What an erasure would do, told before anybody asks for it."""

from datetime import date
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import ANY_MEMBER, CALLER
from server.erasure.service import visible_driver
from server.erasure_preview import service
from server.erasure_preview.model import Action, Line, Lost
from server.gate.model import GateMissing
from server.holds.model import Ground
from server.kit.api import endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Wire

DAY_S: Final = 86_400
GRACE_DAYS_MAX: Final = 36_500.0


class PreviewQuery(Wire):
    driver_id: UUID


class CategoryView(Wire):
    code: str
    """A class of the data map, or `ledger_entries`."""
    rows: int
    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None
    action: Action
    ground: Ground | None = None
    """Of what a hold keeps."""
    until: Instant | None = None


class OpenOrderView(Wire):
    route_id: UUID
    date: date


class ClockView(Wire):
    answer_by: Instant
    """When silence approves a request that the driver makes now."""
    grace_days: float = Field(ge=0, le=GRACE_DAYS_MAX)


class ErasurePreview(Wire):
    driver_id: UUID
    categories: list[CategoryView]
    functions_lost: list[Lost]
    open_orders: list[OpenOrderView]
    """Routes that go on without the driver; 200 at most."""
    clock: ClockView
    backup_gone_by: Instant
    """By then what is sealed cannot be read in any backup, however late it is decided."""


@endpoint("GET", "/v1/erasure/preview", access=ANY_MEMBER, raises=(GateMissing,))
async def preview_erasure(request: web.Request, *, query: PreviewQuery) -> ErasurePreview:
    """Tell what an erasure of the driver would erase, leave without their name, and keep.

    Drivers ask of themselves. Nothing is changed.
    """
    driver_id = visible_driver(request[CALLER], query.driver_id)
    async with transaction(request, readonly=True) as conn:
        found = await service.preview(conn, request[COMPANY], driver_id, now=now(request))
    return ErasurePreview(
        driver_id=driver_id,
        categories=[_category(one) for one in found.lines],
        functions_lost=list(Lost),
        open_orders=[
            OpenOrderView(route_id=one.route_id, date=one.day) for one in found.open_orders
        ],
        clock=ClockView(answer_by=found.answer_by, grace_days=found.grace_s / DAY_S),
        backup_gone_by=found.backups_gone_by,
    )


def _category(line: Line) -> CategoryView:
    return CategoryView(
        code=line.code,
        rows=line.rows,
        from_=line.first_at,
        to=line.last_at,
        action=line.action,
        ground=line.ground,
        until=line.until,
    )


ENDPOINTS: Final = (preview_erasure,)
