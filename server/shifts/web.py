"""The driver's own shift; the staff may end one."""

from datetime import datetime
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials.access import CALLER, DRIVER, STAFF, me
from server.credentials.model import NotPermitted
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.journal.model import StopUnconfirmed
from server.kit.api import endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Wire
from server.shifts import service
from server.shifts.model import (
    AccountNotActive,
    ConsentNeeded,
    Shift,
    ShiftActRefused,
    ShiftEnd,
    ShiftRunning,
    ShiftState,
)


class ShiftView(Wire):
    state: ShiftState
    started_at: Instant | None = None
    ends_by: Instant | None = None
    """When it ends by itself."""


@endpoint("GET", "/v1/me/shift", access=DRIVER)
async def read_shift(request: web.Request) -> ShiftView:
    """Read whether the caller is on shift, and when it ends by itself."""
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found = await service.shift(conn, request[COMPANY], me(request))
    return _shift_view(found, at)


@endpoint(
    "POST",
    "/v1/me/shift/start",
    access=DRIVER,
    raises=(GateMissing, ShiftActRefused, ShiftRunning, ConsentNeeded, AccountNotActive),
)
async def start_shift(request: web.Request) -> ShiftView:
    """Start the caller's shift: positions are kept from now on."""
    at = now(request)
    async with transaction(request) as conn:
        started = await service.start(conn, request[COMPANY], me(request), now=at)
    return _shift_view(started, at)


@endpoint(
    "POST",
    "/v1/me/shift/pause",
    access=DRIVER,
    raises=(GateMissing, ShiftActRefused, StopUnconfirmed),
)
async def pause_shift(request: web.Request) -> ShiftView:
    """Pause the caller's shift: nothing is kept or shown until it is resumed."""
    at = now(request)
    async with stopping(request, me(request), at) as conn:
        paused = await service.pause(conn, request[COMPANY], me(request), now=at)
    return _shift_view(paused, at)


@endpoint(
    "POST",
    "/v1/me/shift/resume",
    access=DRIVER,
    raises=(GateMissing, ShiftActRefused, ConsentNeeded, AccountNotActive),
)
async def resume_shift(request: web.Request) -> ShiftView:
    """Resume the caller's shift after a pause."""
    at = now(request)
    async with transaction(request) as conn:
        resumed = await service.resume(conn, request[COMPANY], me(request), now=at)
    return _shift_view(resumed, at)


@endpoint("POST", "/v1/me/shift/end", access=DRIVER, raises=(GateMissing,))
async def end_shift(request: web.Request) -> ShiftView:
    """End the caller's shift. Again is the same as once."""
    return await _end_shift(request, me(request))


@endpoint("POST", "/v1/drivers/{driver_id}/shift/end", access=STAFF, raises=(GateMissing,))
async def end_shift_of_driver(request: web.Request, *, driver_id: UUID) -> ShiftView:
    """End a driver's shift who forgot to. Staff can end one, never start one."""
    return await _end_shift(request, driver_id)


async def _end_shift(request: web.Request, driver_id: UUID) -> ShiftView:
    at, company_id = now(request), request[COMPANY]
    caller = request[CALLER]
    if caller.role is None:
        raise NotPermitted
    by = ShiftEnd(caller.role.value)
    async with stopping(request, driver_id, at) as conn:
        await service.end(conn, company_id, driver_id, by=by, now=at, member_id=caller.member_id)
    return ShiftView(state=ShiftState.OFF)


def _shift_view(shift: Shift | None, at: datetime) -> ShiftView:
    if shift is None or shift.state(at) is ShiftState.OFF:
        return ShiftView(state=ShiftState.OFF)
    return ShiftView(state=shift.state(at), started_at=shift.started_at, ends_by=shift.ends_by)


ENDPOINTS: Final = (
    read_shift,
    start_shift,
    pause_shift,
    resume_shift,
    end_shift,
    end_shift_of_driver,
)
