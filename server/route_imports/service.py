"""Importing many routes at once: all of them, or none. The caller owns the transaction."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts import service as accounts
from server.accounts.logins import EmailUnreadable, PhoneUnreadable, canonical_login
from server.accounts.model import Locale
from server.credentials.model import MemberState, Role
from server.kit.db import Connection
from server.roads.service import OF_COMPANY_MAX, Roads
from server.route_imports import store
from server.route_imports.layout import plain
from server.route_imports.model import FaultKind, LaidOut, RouteFault, RouteImportDiffers
from server.routes import service as routes
from server.routes.model import (
    AssigneeUnknown,
    LineSource,
    NewRoute,
    PlanTooLong,
    PlanUnmeasurable,
    Route,
    RouteHead,
    backward_windows,
    repeated_references,
)
from server.routes.service import Draft, FoundRoute
from server.vault.service import Vault
from server.vehicles import service as vehicles

ROADS_S_MAX: Final = 45.0
"""Somebody waits for the answer."""
MAY_DRIVE: Final = frozenset({MemberState.ACTIVE, MemberState.INVITED})
_ASSIGNEES: Final[Mapping[str, FaultKind]] = {
    "driver_id": FaultKind.DRIVER_UNKNOWN,
    "vehicle_id": FaultKind.VEHICLE_UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Whose clock a workbook is written by, and in which language its author reads."""

    zone: ZoneInfo
    language: Locale


async def setting(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID | None,
    language: Locale | None,
) -> Setting:
    """Return the company's zone, and the language: as asked for, else the member's own.

    An integration (no member) that names none reads English.
    """
    company = await accounts.company(conn, company_id)
    if language is None and member_id is not None:
        language = (await accounts.profile(conn, vault, company_id, member_id)).locale
    return Setting(zone=ZoneInfo(company.time_zone), language=language or Locale.EN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Who and what is meant in a workbook. What is not there means nobody."""

    drivers: Mapping[str, UUID]
    """By phone or e-mail, as it was written."""
    vehicles: Mapping[str, UUID]
    """By plate, as it was written."""


async def named(conn: Connection, vault: Vault, company_id: UUID, laid: Iterable[LaidOut]) -> Named:
    """Look up the drivers and vehicles that a workbook names."""
    logins = {one.driver for one in laid if one.driver is not None}
    plates = {one.vehicle for one in laid if one.vehicle is not None}
    drivers = {}
    for login in logins:
        try:
            login_hashes = vault.blind_indexes(*canonical_login(login))
        except (PhoneUnreadable, EmailUnreadable):
            continue
        member = await accounts.member_of_login(conn, company_id, login_hashes)
        if member is not None and member.role is Role.DRIVER and member.state in MAY_DRIVE:
            drivers[login] = member.member_id
    known: dict[str, UUID] = {}
    if plates:
        found, _ = await vehicles.vehicles(conn, company_id)
        known = {_plate(one.plate): one.vehicle_id for one in found}
    return Named(
        drivers=drivers,
        vehicles={plate: known[_plate(plate)] for plate in plates if _plate(plate) in known},
    )


def _plate(text: str) -> str:
    """Return a plate as it is compared: spaces are written or not."""
    return plain(text).replace(" ", "")


async def drafted(plans: Mapping[int, NewRoute]) -> tuple[dict[int, Draft], list[RouteFault]]:
    """Measure plans, in a thread; by their places in the import, with what is wrong with others."""
    return await asyncio.to_thread(_drafted, plans)


def _drafted(plans: Mapping[int, NewRoute]) -> tuple[dict[int, Draft], list[RouteFault]]:
    drafts = {}
    faults = []
    for place, new in plans.items():
        found = [
            RouteFault(route=place, stop=stop, member=member, kind=kind)
            for stops, member, kind in (
                (backward_windows(new.stops), "window_end", FaultKind.WINDOW_BACKWARDS),
                (repeated_references(new.stops), "reference", FaultKind.REFERENCE_TWICE),
            )
            for stop in stops
        ]
        if not found:
            try:
                drafts[place] = routes.draft_of(new)
            except PlanUnmeasurable:
                found = [RouteFault(route=place, stop=None, member="", kind=FaultKind.UNMEASURABLE)]
        faults += found
    return drafts, faults


async def on_roads(company_id: UUID, drafts: Mapping[int, Draft], roads: Roads) -> dict[int, Draft]:
    """Give drafts without a line the one of the roads. Only outside of a transaction.

    One after the other, so that each has its time; what is left after ``ROADS_S_MAX`` is straight.
    """
    laid = dict(drafts)
    left = iter(drafts.items())

    async def lay() -> None:
        for place, draft in left:
            laid[place] = await routes.on_roads(company_id, draft, roads)

    with suppress(TimeoutError):
        async with asyncio.timeout(ROADS_S_MAX), asyncio.TaskGroup() as group:
            for _ in range(OF_COMPANY_MAX):
                group.create_task(lay())
    return laid


async def outlined(
    conn: Connection, company_id: UUID, drafts: Mapping[int, Draft]
) -> tuple[dict[int, RouteHead], list[RouteFault]]:
    """Return what would be stored of the drafts, and what keeps others from being stored."""
    heads = {}
    faults = []
    # Drivers are locked: in one order, or two imports could wait for each other.
    for place, draft in sorted(drafts.items(), key=lambda one: str(one[1].new.driver_id)):
        member, kind = "", FaultKind.PLAN_TOO_LONG
        try:
            heads[place] = await routes.outlined(conn, company_id, draft)
            continue
        except PlanTooLong:
            member = "date"
        except AssigneeUnknown as error:
            member, kind = error.member, _ASSIGNEES[error.member]
        faults.append(RouteFault(route=place, stop=None, member=member, kind=kind))
    return heads, faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A route of an import."""

    head: RouteHead
    name: str
    line_source: LineSource


def outline(head: RouteHead, draft: Draft) -> Imported:
    """Return what a dry run shows of a route."""
    return Imported(head=head, name=draft.new.name, line_source=draft.plan.line_source)


def _imported(route: Route) -> Imported:
    return Imported(head=route.head, name=route.name, line_source=route.plan.line_source)


def _opened(found: FoundRoute) -> Imported:
    return _imported(routes.opened(found))


async def carry_out(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    import_id: UUID,
    digest: bytes,
    drafts: Sequence[tuple[RouteHead, Draft]],
    *,
    now: datetime,
) -> list[Imported] | None:
    """Store the routes; None where an import of this id is there: nothing was stored."""
    if not await store.insert(conn, company_id, import_id, digest, now):
        return None
    # Ids of one moment are in no order, and a repeated answer goes by them.
    ids = sorted(head.route_id for head, _ in drafts)
    heads = [replace(head, route_id=one) for one, (head, _) in zip(ids, drafts, strict=True)]
    return [
        _imported(
            await routes.store_new(
                conn, vault, company_id, head, draft, now=now, import_id=import_id
            )
        )
        for head, (_, draft) in zip(heads, drafts, strict=True)
    ]


async def repeated(
    conn: Connection, vault: Vault, company_id: UUID, import_id: UUID, digest: bytes
) -> list[Imported] | None:
    """Return what is left of the routes of an import that was carried out; None if none was.

    Raises
    ------
    RouteImportDiffers
        It was of something else.
    """
    known = await store.digest_of(conn, company_id, import_id)
    if known is None:
        return None
    if known != digest:
        raise RouteImportDiffers
    return [  # one by one: the plans of all would be much to hold
        await asyncio.to_thread(_opened, await routes.find(conn, vault, company_id, route_id))
        for route_id in await routes.of_import(conn, company_id, import_id)
    ]
