"""Drivers' statuses and comments: taking them in, and reading them.

They need no consent to location, for they are no positions: the driver says each of them by hand.
They are sealed under the driver's key and go with the driver.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts import service as accounts
from server.credentials.model import MemberState
from server.gate import service as gate
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.batches import delete_all
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.routes import editing
from server.routes import service as routes
from server.routes.model import Route, RouteNotFound, Stop
from server.routes.service import FoundRoute
from server.shifts.model import AccountNotActive
from server.stop_events import store
from server.stop_events.model import (
    EVENTS_OF_ROUTE_MAX,
    KEPT,
    Day,
    EventKind,
    Said,
    SealedEvent,
    StopEvent,
    StopEventDiffers,
    StopEventsTooMany,
    StopOfRouteMissing,
    StopTaps,
    from_bytes,
    refuse_unsayable,
    taps_of,
    to_bytes,
)
from server.vault.model import Category, DataKey, key_id_of
from server.vault.service import Vault

EVENT_SCHEMA: Final = "stop_event"
ROUTES_OF_DAY_MAX: Final = 10
"""A driver has one route a day, or two; who has more sees the newest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStop:
    """A stop as its driver sees it."""

    stop: Stop
    taps: StopTaps
    """By whoever drove the route: what is done needs not be done again."""
    events: Sequence[StopEvent]
    """The driver's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRoute:
    """A route as its driver sees it."""

    route: Route
    stops: Sequence[OwnStop]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDay:
    """What was read of a driver's day; :func:`opened` opens it without the database."""

    driver_id: UUID
    day: Day
    routes: Sequence[FoundRoute]
    events: Sequence[SealedEvent]
    keys: Mapping[UUID, DataKey] = field(repr=False)


async def today(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, *, now: datetime
) -> FoundDay:
    """Read the driver's routes of the company's day, and those before it that still go on.

    Raises
    ------
    GateMissing
    AccountNotActive
        The account is blocked, or is being erased: a plan holds other people's addresses.
    """
    if not (await gate.read(conn, company_id, driver_id)).account_active:
        raise AccountNotActive
    company = await accounts.company(conn, company_id)
    date = now.astimezone(ZoneInfo(company.time_zone)).date()
    named = await routes.page(
        conn,
        vault,
        company_id,
        day=date,
        driver_id=driver_id,
        after=None,
        limit=ROUTES_OF_DAY_MAX,
    )
    route_ids = {one.head.route_id for one in named}
    # A route over midnight is of the day on which it began.
    going_on = await routes.going_on(conn, company_id, driver_id, now=now)
    route_ids |= set(going_on[-ROUTES_OF_DAY_MAX:])
    events = await store.of_routes(conn, company_id, list(route_ids))
    return FoundDay(
        driver_id=driver_id,
        day=Day(date=date, time_zone=company.time_zone),
        routes=[await routes.find(conn, vault, company_id, one) for one in sorted(route_ids)],
        events=events,
        keys=await _keys(vault, company_id, events),
    )


def opened(found: FoundDay) -> list[OwnRoute]:
    """Open a driver's day, by when its routes start. Long plans take their time: in a thread."""
    said: dict[tuple[UUID, UUID], list[StopEvent]] = defaultdict(list)
    for event in _opened(found.keys, found.events):
        said[event.said.route_id, event.said.stop_id].append(event)
    own = []
    for route in map(routes.opened, found.routes):
        route_id = route.head.route_id
        stops = [
            OwnStop(
                stop=stop,
                taps=taps_of(events),
                events=[one for one in events if one.driver_id == found.driver_id],
            )
            for stop in route.plan.stops
            for events in (said.get((route_id, stop.stop_id), ()),)
        ]
        own.append(OwnRoute(route=route, stops=stops))
    return sorted(own, key=lambda one: (one.route.head.starts_at, one.route.head.route_id))


async def report(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, said: Said, *, now: datetime
) -> StopEvent:
    """Keep what a driver says of a stop of their route. Again is the same as once.

    Raises
    ------
    StopEventBlank, StopEventTimeInvalid, StopEventDiffers, StopEventsTooMany
    RouteNotFound
        There is none, or it is not the driver's now.
    StopOfRouteMissing, AccountNotActive, SubjectErased
    """
    known = await store.get(conn, company_id, driver_id, said.event_id)
    if known is not None:
        return await _the_same(vault, company_id, known, said)
    refuse_unsayable(said, now=now)
    # What a driver reports queues at the account: so the limit holds, and so does a block. Then at
    # the route: the plan that is read is the one in which the stop stays.
    if await accounts.state_of(conn, company_id, driver_id) is not MemberState.ACTIVE:
        raise AccountNotActive
    if said.kind is not EventKind.COMMENT:
        await editing.settle(conn, company_id, said.route_id, said.stop_id)
    found = await routes.find(conn, vault, company_id, said.route_id)
    if found.sealed.head.driver_id != driver_id:
        raise RouteNotFound
    await asyncio.to_thread(_refuse_unknown_stop, found, said.stop_id)
    new = await _sealed(vault, company_id, driver_id, said, now)
    if await store.count(conn, company_id, said.route_id, driver_id) >= EVENTS_OF_ROUTE_MAX:
        raise StopEventsTooMany
    if not await store.insert(conn, company_id, new):
        known = await store.get(conn, company_id, driver_id, said.event_id)
        if known is None:
            raise RuntimeError("an event of this id was there and is gone")
        return await _the_same(vault, company_id, known, said)
    return StopEvent(
        stop_event_id=new.stop_event_id, driver_id=driver_id, received_at=now, said=said
    )


async def of_route(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    route_id: UUID,
    *,
    cursor: str | None,
    limit: int,
) -> tuple[list[StopEvent], str | None]:
    """Return a page of what was said of a route, as it was received, and the next cursor.

    Raises
    ------
    RouteNotFound, CursorInvalid
    """
    if not await routes.starts(conn, company_id, [route_id]):
        raise RouteNotFound
    found = await store.of_route(
        conn, company_id, route_id, after=place_of(cursor), limit=limit + 1
    )
    page, following = page_of(found, limit, lambda one: cursor_of(one.stop_event_id))
    return _opened(await _keys(vault, company_id, page), page), following


async def taps(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    route_id: UUID,
    *,
    driver_id: UUID,
    since: datetime,
) -> dict[UUID, StopTaps]:
    """Return by stop what a driver said of the route since then: came, was done, or failed.

    That is for a report, which goes with one driver and shows nothing from before their consents.
    Stops of which nothing was said, or only comments, are not among it.
    """
    found = await store.of_route(conn, company_id, route_id, after=UUID(int=0), limit=None)
    said: dict[UUID, list[StopEvent]] = defaultdict(list)
    for event in _opened(await _keys(vault, company_id, found), found):
        if event.driver_id == driver_id and event.happened_at >= since:
            said[event.said.stop_id].append(event)
    told = {stop_id: taps_of(events) for stop_id, events in said.items()}
    return {stop_id: one for stop_id, one in told.items() if one != StopTaps()}


news = store.news
"""Return of which stops something was received since then, as it was received."""


HELD_BY: Final = (HeldCategory.REPORT, HeldCategory.WORK)
"""What has to be held of a driver for that to stay which they said of stops."""


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    """Return how much was said more than a year ago, and when the first of it was received."""
    held = await holds.drivers_held(conn, company_id, HELD_BY, now)
    return await store.count_before(conn, company_id, now - KEPT, held=held)


async def forget_old(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Delete what was said more than a year ago; return how many. Due each day.

    Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        held = await holds.drivers_held(conn, company_id, HELD_BY, now)
    delete = partial(store.delete_before, before=now - KEPT, held=held)
    return await delete_all(pool, company_id, delete)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what the driver said; return the number of rows."""
    return await store.delete(conn, company_id, member_id)


def _refuse_unknown_stop(found: FoundRoute, stop_id: UUID) -> None:
    if all(stop.stop_id != stop_id for stop in routes.opened(found).plan.stops):
        raise StopOfRouteMissing


async def _sealed(
    vault: Vault, company_id: UUID, driver_id: UUID, said: Said, now: datetime
) -> SealedEvent:
    stop_event_id = uuid7()
    key = await vault.key(company_id, driver_id, Category.REPORT, at=now)
    return SealedEvent(
        stop_event_id=stop_event_id,
        driver_id=driver_id,
        event_id=said.event_id,
        route_id=said.route_id,
        stop_id=said.stop_id,
        received_at=now,
        event_sealed=key.seal(to_bytes(said), row_id=stop_event_id.bytes, schema=EVENT_SCHEMA),
    )


async def _the_same(vault: Vault, company_id: UUID, known: SealedEvent, said: Said) -> StopEvent:
    """Return what was said under this id before, if it was the same."""
    events = _opened(await _keys(vault, company_id, [known]), [known])
    if [one.said for one in events] != [said]:
        raise StopEventDiffers
    return events[0]


async def _keys(
    vault: Vault, company_id: UUID, events: Sequence[SealedEvent]
) -> Mapping[UUID, DataKey]:
    return await vault.keys(company_id, (key_id_of(one.event_sealed) for one in events))


def _opened(keys: Mapping[UUID, DataKey], events: Sequence[SealedEvent]) -> list[StopEvent]:
    """Open events; those whose driver's keys are destroyed are left out."""
    return [
        from_bytes(
            key.open(one.event_sealed, row_id=one.stop_event_id.bytes, schema=EVENT_SCHEMA), one
        )
        for one in events
        if (key := keys.get(key_id_of(one.event_sealed))) is not None
    ]
