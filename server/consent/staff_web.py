"""Drivers as the staff see them: consents and shift, asking for a consent, blocking."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts import service as accounts
from server.accounts.model import DriverProfile, Locale
from server.consent import service
from server.consent.model import (
    ConsentActionRefused,
    ConsentChangedMeanwhile,
    ConsentItem,
    ConsentRecordIncomplete,
    ConsentState,
)
from server.consent.service import DriverStates
from server.credentials.access import STAFF, VAULT, staff
from server.credentials.model import MemberMissing, MemberState, MemberStateRefused, Scope
from server.credentials.viewers import viewer
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.journal.model import StopUnconfirmed
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.shifts.model import AccountNotActive, ShiftState
from server.standing.model import BlockReason

DRIVERS_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64


class Blocking(Wire):
    """Why staff may block. The other reasons are the driver's, an authority's, or time's."""

    reason_code: Literal[
        BlockReason.LEFT, BlockReason.LOST_PHONE, BlockReason.MISUSE, BlockReason.OTHER
    ]


class AccountView(Wire):
    driver_id: UUID
    state: MemberState


class ConsentRequested(Wire):
    item: ConsentItem
    state: ConsentState


class ConsentStates(Wire):
    """What the company needs to know; messages are the driver's own business."""

    location: ConsentState
    dispatch_tracking: ConsentState
    plan_fact: ConsentState
    customer_link: ConsentState


class DriverView(Wire):
    driver_id: UUID
    name: str
    phone_masked: str
    state: MemberState
    locale: Locale
    consents: ConsentStates
    shift: ShiftState
    created_at: Instant


class DriversQuery(Wire):
    state: MemberState | None = None
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=DRIVERS_MAX)] = 50


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/consents/{item}/request",
    access=STAFF,
    raises=(
        GateMissing,
        ConsentActionRefused,
        ConsentChangedMeanwhile,
        AccountNotActive,
        ConsentRecordIncomplete,
    ),
)
async def request_consent(
    request: web.Request, *, driver_id: UUID, item: ConsentItem
) -> ConsentRequested:
    """Ask a driver for a consent they were not asked for yet. Who said no is not asked again."""
    at = now(request)
    async with transaction(request) as conn:
        asked = await service.request(
            conn, request[COMPANY], driver_id, item, by=viewer(request), now=at
        )
    return ConsentRequested(item=asked.item, state=asked.state)


@endpoint("GET", "/v1/drivers", access=staff(Scope.DRIVERS_READ), raises=(CursorInvalid,))
async def list_drivers(request: web.Request, *, query: DriversQuery) -> Page[DriverView]:
    """List the company's drivers with their consents and shifts."""
    company_id, at = request[COMPANY], now(request)
    async with transaction(request, readonly=True) as conn:
        page = await accounts.drivers(
            conn,
            request.app[VAULT],
            company_id,
            state=query.state,
            cursor=query.cursor,
            limit=query.limit,
        )
        ids = [profile.member_id for profile in page.items]
        states = await service.states(conn, company_id, ids)
    return Page(
        items=[_driver_view(one, states[one.member_id], at) for one in page.items],
        next_cursor=page.next_cursor,
    )


@endpoint(
    "GET", "/v1/drivers/{driver_id}", access=staff(Scope.DRIVERS_READ), raises=(MemberMissing,)
)
async def read_driver(request: web.Request, *, driver_id: UUID) -> DriverView:
    """Read one driver, with consents and shift."""
    company_id, at = request[COMPANY], now(request)
    async with transaction(request, readonly=True) as conn:
        profile = await accounts.driver(conn, request.app[VAULT], company_id, driver_id)
        states = await service.states(conn, company_id, [driver_id])
    return _driver_view(profile, states[driver_id], at)


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/block",
    access=staff(Scope.DRIVERS_WRITE),
    raises=(GateMissing, MemberStateRefused, StopUnconfirmed),
)
async def block_driver(request: web.Request, *, driver_id: UUID, body: Blocking) -> AccountView:
    """Stop all recording of a driver. They can still log in, withdraw and ask for erasure."""
    at, company_id = now(request), request[COMPANY]
    async with stopping(request, driver_id, at) as conn:
        await service.block(
            conn, company_id, driver_id, body.reason_code, by=viewer(request), now=at
        )
    return AccountView(driver_id=driver_id, state=MemberState.BLOCKED)


def _driver_view(profile: DriverProfile, states: DriverStates, at: datetime) -> DriverView:
    return DriverView(
        driver_id=profile.member_id,
        name=profile.name,
        phone_masked=profile.phone_masked,
        state=profile.state,
        locale=profile.locale,
        consents=ConsentStates(
            location=states.consents[ConsentItem.LOCATION],
            dispatch_tracking=states.consents[ConsentItem.DISPATCH_TRACKING],
            plan_fact=states.consents[ConsentItem.PLAN_FACT],
            customer_link=states.consents[ConsentItem.CUSTOMER_LINK],
        ),
        shift=states.shift_state(at),
        created_at=profile.created_at,
    )


ENDPOINTS: Final = (block_driver, request_consent, list_drivers, read_driver)
