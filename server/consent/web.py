"""The driver's own consents and shift; drivers as the staff see them."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts import service as accounts
from server.accounts.access import CALLER, DRIVER, STAFF, VAULT, staff
from server.accounts.model import (
    BlockReason,
    DriverProfile,
    Locale,
    MemberMissing,
    MemberState,
    MemberStateRefused,
    NotPermitted,
    Scope,
)
from server.consent import service
from server.consent.model import (
    AccountNotActive,
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentCell,
    ConsentChangedMeanwhile,
    ConsentNeeded,
    ConsentState,
    DriverStates,
    Shift,
    ShiftActRefused,
    ShiftEnd,
    ShiftRunning,
    ShiftState,
)
from server.gate import service as gate
from server.gate.model import GateItem, GateMissing
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.db import Connection
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, Text, Wire

DRIVERS_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64


class Answer(StrEnum):
    GIVEN = "given"
    DECLINED = "declined"


ACT_OF_ANSWER: Final = {Answer.GIVEN: ConsentAct.GIVE, Answer.DECLINED: ConsentAct.DECLINE}


class Blocking(Wire):
    reason_code: BlockReason


class AccountView(Wire):
    driver_id: UUID
    state: MemberState


class ConsentChange(Wire):
    """One answer to one question; there is no way to agree to all at once."""

    item: GateItem
    answer: Answer


class ConsentView(Wire):
    item: GateItem
    state: ConsentState
    given_at: Instant | None = None
    changed_at: Instant | None = None


class ConsentsView(Wire):
    items: list[ConsentView]
    epoch: int
    gate: Literal["open", "closed"]


class Withdrawn(Wire):
    """Once this is answered, nothing more is stored and nothing more is shown."""

    item: GateItem
    state: ConsentState
    effective_at: Instant
    epoch: int


class ShiftView(Wire):
    state: ShiftState
    started_at: Instant | None = None
    ends_by: Instant | None = None
    """When it ends by itself."""


class ConsentStates(Wire):
    location: ConsentState
    dispatch_tracking: ConsentState
    plan_fact: ConsentState


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


@endpoint("GET", "/v1/me/consents", access=DRIVER, raises=(GateMissing,))
async def list_consents(request: web.Request) -> ConsentsView:
    """Read the caller's consents, and whether positions are kept just now."""
    async with transaction(request, readonly=True) as conn:
        found = await service.consents(conn, request[COMPANY], _me(request))
    return ConsentsView(
        items=[_cell_view(cell) for cell in found.items],
        epoch=found.epoch,
        gate="open" if found.gate_open else "closed",
    )


@endpoint(
    "POST",
    "/v1/me/consents",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, ConsentActionRefused, ConsentChangedMeanwhile, AccountNotActive),
)
async def decide_consent(request: web.Request, *, body: ConsentChange) -> ConsentView:
    """Give or decline one consent. A given one is taken back by withdrawing it."""
    at = now(request)
    async with transaction(request) as conn:
        decision = await service.decide(
            conn, request[COMPANY], _me(request), body.item, ACT_OF_ANSWER[body.answer], now=at
        )
    return _consent_view(decision)


@endpoint(
    "POST",
    "/v1/me/consents/{item}/withdraw",
    access=DRIVER,
    raises=(GateMissing, ConsentActionRefused, ConsentChangedMeanwhile),
)
async def withdraw_consent(request: web.Request, *, item: GateItem) -> Withdrawn:
    """Withdraw a consent.

    Once this is answered, nothing more is stored or shown that rested on it.
    """
    at = now(request)
    async with _stopping(request, _me(request), at) as conn:
        decision = await service.decide(
            conn, request[COMPANY], _me(request), item, ConsentAct.WITHDRAW, now=at
        )
    return Withdrawn(
        item=decision.item,
        state=decision.state,
        effective_at=decision.recorded_at,
        epoch=decision.epoch,
    )


@endpoint("GET", "/v1/me/shift", access=DRIVER)
async def read_shift(request: web.Request) -> ShiftView:
    """Read whether the caller is on shift, and when it ends by itself."""
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found = await service.shift(conn, request[COMPANY], _me(request))
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
        started = await service.start_shift(conn, request[COMPANY], _me(request), now=at)
    return _shift_view(started, at)


@endpoint("POST", "/v1/me/shift/pause", access=DRIVER, raises=(GateMissing, ShiftActRefused))
async def pause_shift(request: web.Request) -> ShiftView:
    """Pause the caller's shift: nothing is kept or shown until it is resumed."""
    at = now(request)
    async with _stopping(request, _me(request), at) as conn:
        paused = await service.pause_shift(conn, request[COMPANY], _me(request), now=at)
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
        resumed = await service.resume_shift(conn, request[COMPANY], _me(request), now=at)
    return _shift_view(resumed, at)


@endpoint("POST", "/v1/me/shift/end", access=DRIVER, raises=(GateMissing,))
async def end_shift(request: web.Request) -> ShiftView:
    """End the caller's shift. Again is the same as once."""
    return await _end_shift(request, _me(request))


@endpoint("POST", "/v1/drivers/{driver_id}/shift/end", access=STAFF, raises=(GateMissing,))
async def end_shift_of_driver(request: web.Request, *, driver_id: UUID) -> ShiftView:
    """End a driver's shift who forgot to. Staff can end one, never start one."""
    return await _end_shift(request, driver_id)


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


async def _end_shift(request: web.Request, driver_id: UUID) -> ShiftView:
    at = now(request)
    role = request[CALLER].role
    if role is None:
        raise NotPermitted
    async with _stopping(request, driver_id, at) as conn:
        await service.end_shift(conn, request[COMPANY], driver_id, by=ShiftEnd(role.value), now=at)
    return ShiftView(state=ShiftState.OFF)


def _stopping(
    request: web.Request, driver_id: UUID, at: datetime
) -> AbstractAsyncContextManager[Connection]:
    return gate.stopping(request.app[POOL], request[COMPANY], driver_id, now=at)


def _me(request: web.Request) -> UUID:
    member_id = request[CALLER].member_id
    if member_id is None:
        raise NotPermitted
    return member_id


def _cell_view(cell: ConsentCell) -> ConsentView:
    return ConsentView(
        item=cell.item, state=cell.state, given_at=cell.given_at, changed_at=cell.changed_at
    )


def _consent_view(decision: Consent) -> ConsentView:
    return _cell_view(ConsentCell(item=decision.item, decision=decision))


def _shift_view(shift: Shift | None, at: datetime) -> ShiftView:
    if shift is None or shift.state(at) is ShiftState.OFF:
        return ShiftView(state=ShiftState.OFF)
    return ShiftView(state=shift.state(at), started_at=shift.started_at, ends_by=shift.ends_by)


def _driver_view(profile: DriverProfile, states: DriverStates, at: datetime) -> DriverView:
    return DriverView(
        driver_id=profile.member_id,
        name=profile.name,
        phone_masked=profile.phone_masked,
        state=profile.state,
        locale=profile.locale,
        consents=ConsentStates(**{item.value: state for item, state in states.consents.items()}),
        shift=states.shift_state(at),
        created_at=profile.created_at,
    )


@endpoint(
    "POST",
    "/v1/drivers/{driver_id}/block",
    access=staff(Scope.DRIVERS_WRITE),
    raises=(GateMissing, MemberStateRefused),
)
async def block_driver(request: web.Request, *, driver_id: UUID, body: Blocking) -> AccountView:
    """Stop all recording of a driver. They can still log in, withdraw and ask for erasure."""
    at, company_id = now(request), request[COMPANY]
    async with gate.stopping(request.app[POOL], company_id, driver_id, now=at) as conn:
        await service.end_shift(conn, company_id, driver_id, by=ShiftEnd.BLOCK, now=at)
        await accounts.block(conn, company_id, driver_id, body.reason_code, now=at)
    return AccountView(driver_id=driver_id, state=MemberState.BLOCKED)


ENDPOINTS: Final = (
    block_driver,
    list_consents,
    decide_consent,
    withdraw_consent,
    read_shift,
    start_shift,
    pause_shift,
    resume_shift,
    end_shift,
    end_shift_of_driver,
    list_drivers,
    read_driver,
)
