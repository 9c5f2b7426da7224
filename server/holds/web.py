"""Holds over HTTP: who asks for them, who places them, what is held and until when."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import ANY_MEMBER, CALLER, MAIN_USER, VAULT
from server.credentials.model import Role
from server.credentials.viewers import viewer
from server.gate import service as gate
from server.gate.model import GateMissing
from server.holds import service
from server.holds.model import (
    EVIDENCE_CHARS_MAX,
    Ground,
    HeldCategory,
    Hold,
    HoldActRefused,
    HoldIncomplete,
    HoldMissing,
    HoldState,
    HoldsTooMany,
    HoldTooLate,
    Reason,
)
from server.holds.service import NewHold
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit.api import endpoint
from server.kit.ids import uuid7
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, ProfileText, Wire

Evidence = Annotated[str, ProfileText(EVIDENCE_CHARS_MAX)]


class HoldAsked(Wire):
    """A driver and a dispatcher ask, and name neither ground nor date; a main user places."""

    driver_id: UUID
    category: HeldCategory
    ground: Ground | None = None
    until: Instant | None = Field(default=None, description="It is looked at again by then.")
    evidence_ref: Evidence | None = None


class HoldPlaced(Wire):
    ground: Ground
    until: Instant
    evidence_ref: Evidence | None = None


class HoldView(Wire):
    hold_id: UUID
    driver_id: UUID
    request_id: UUID | None = None
    """Of the request for erasure whose refusal it is part of."""
    category: HeldCategory
    state: HoldState
    in_force: bool
    ground: Ground | None = None
    until: Instant | None = None
    evidence_ref: str | None = None
    asked_by_role: Role
    asked_at: Instant
    placed_at: Instant | None = None
    ended_at: Instant | None = None
    ended_by_role: Role | None = None
    """Null, of one that has ended, where its date did that."""


class Holds(Wire):
    items: list[HoldView]


class HoldsQuery(Wire):
    driver_id: UUID


@endpoint(
    "POST",
    "/v1/holds",
    access=ANY_MEMBER,
    status=HTTPStatus.CREATED,
    raises=(GateMissing, HoldIncomplete, HoldsTooMany, HoldTooLate, StopUnconfirmed),
)
async def ask_for_hold(request: web.Request, *, body: HoldAsked) -> HoldView:
    """Place a hold on a category of a driver's data, as a main user; propose one, as others.

    What is held is neither erased nor removed by its age until then. A driver may ask for it of
    themself.
    """
    at, company_id = now(request), request[COMPANY]
    driver_id = service.visible_driver(request[CALLER], body.driver_id)
    reason = _reason(body.ground, body.until)
    hold_id = uuid7()
    async with transaction(request, readonly=True) as conn:
        await gate.read(conn, company_id, driver_id)  # nobody else has keys
    evidence = await _sealed(request, driver_id, hold_id, body.evidence_ref)
    new = NewHold(category=body.category, reason=reason, hold_id=hold_id, evidence_sealed=evidence)
    async with transaction(request) as conn:
        hold = await service.ask(conn, company_id, driver_id, new, by=viewer(request), now=at)
    await confirm(request)
    return _view(request, hold, body.evidence_ref)


@endpoint("GET", "/v1/holds", access=ANY_MEMBER, raises=(GateMissing,))
async def list_holds(request: web.Request, *, query: HoldsQuery) -> Holds:
    """List what was ever asked to be held of a driver, oldest first; drivers see their own."""
    driver_id = service.visible_driver(request[CALLER], query.driver_id)
    async with transaction(request, readonly=True) as conn:
        found = await service.holds(conn, request.app[VAULT], request[COMPANY], driver_id)
    return Holds(items=[_view(request, hold, evidence) for hold, evidence in found])


@endpoint(
    "POST",
    "/v1/holds/{hold_id}/place",
    access=MAIN_USER,
    raises=(
        HoldMissing,
        HoldActRefused,
        HoldIncomplete,
        HoldTooLate,
        GateMissing,
        StopUnconfirmed,
    ),
)
async def place_hold(request: web.Request, *, hold_id: UUID, body: HoldPlaced) -> HoldView:
    """Place a hold that was asked for, or say anew why and until when it is."""
    async with transaction(request, readonly=True) as conn:
        found = await service.hold(conn, request[COMPANY], hold_id)
    evidence = await _sealed(request, found.driver_id, hold_id, body.evidence_ref)
    async with transaction(request) as conn:
        hold = await service.place(
            conn,
            request[COMPANY],
            hold_id,
            Reason(ground=body.ground, until=body.until),
            evidence_sealed=evidence,
            by=viewer(request),
            now=now(request),
        )
    await confirm(request)
    return _view(request, hold, body.evidence_ref)


@endpoint(
    "POST",
    "/v1/holds/{hold_id}/release",
    access=MAIN_USER,
    raises=(HoldMissing, HoldActRefused, GateMissing, StopUnconfirmed),
)
async def release_hold(request: web.Request, *, hold_id: UUID) -> HoldView:
    """Let go what is held, or decline to hold it. What an erasure left of it is erased then."""
    async with transaction(request) as conn:
        hold = await service.release(
            conn, request[COMPANY], hold_id, by=viewer(request), now=now(request)
        )
    await confirm(request)
    return _view(request, hold, None)


def _reason(ground: Ground | None, until: Instant | None) -> Reason | None:
    if ground is None and until is None:
        return None
    if ground is None or until is None:
        raise HoldIncomplete
    return Reason(ground=ground, until=until)


async def _sealed(
    request: web.Request, driver_id: UUID, hold_id: UUID, evidence: str | None
) -> bytes | None:
    if evidence is None:
        return None
    return await service.sealed_evidence(
        request.app[VAULT], request[COMPANY], driver_id, hold_id, evidence, now=now(request)
    )


def _view(request: web.Request, hold: Hold, evidence: str | None) -> HoldView:
    return HoldView(
        hold_id=hold.hold_id,
        driver_id=hold.driver_id,
        request_id=hold.request_id,
        category=hold.category,
        state=hold.state,
        in_force=hold.keeps(now(request)),
        ground=hold.ground,
        until=hold.until,
        evidence_ref=evidence,
        asked_by_role=hold.asked_by,
        asked_at=hold.asked_at,
        placed_at=hold.placed_at,
        ended_at=hold.ended_at,
        ended_by_role=hold.ended_by,
    )


ENDPOINTS: Final = (ask_for_hold, list_holds, place_hold, release_hold)
