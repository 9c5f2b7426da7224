"""Customers' links: making and ending them, and reading what one may show now."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.consent import service as consent
from server.consent.model import ConsentItem
from server.gate import service as gate
from server.gate.model import Gate, GateMissing
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.kit import tokens
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.links import store
from server.links.model import (
    KEPT,
    Consented,
    CustomerLink,
    LinkEnded,
    LinkMissing,
    RouteUnassigned,
    StopMissing,
    Terms,
    expiry_of,
)
from server.routes import service as routes
from server.routes.changes import RouteCancelled
from server.routes.model import Stop
from server.shifts import service as shifts
from server.shifts.model import ShiftState, shift_state
from server.tracking import service as tracking
from server.tracking.model import LatestPosition
from server.vault.service import Vault

TOKEN_KIND: Final = "jl"  # noqa: S105 - how such a token begins
FORGOTTEN_AT_ONCE_MAX: Final = 20_000
"""What is left of a company waits for the next day."""
ENDED_AT_ONCE_MAX: Final = 500
"""Each has an entry in the ledger, whose head is locked meanwhile."""


async def create(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    route_id: UUID,
    stop_id: UUID,
    *,
    expires_at: datetime | None,
    by: Actor,
    now: datetime,
) -> tuple[CustomerLink, str]:
    """Make a link for a stop; return it and its token, shown once.

    Whether the driver agreed to be shown is not asked here: the link shows nothing until they do.

    Raises
    ------
    RouteNotFound, StopMissing, RouteCancelled, RouteUnassigned, LinkExpiryInvalid
    """
    route = await routes.find(conn, vault, company_id, route_id)
    stop = await asyncio.to_thread(_stop, route, stop_id)
    head = route.sealed.head
    if head.cancelled_at is not None:
        raise RouteCancelled
    if head.driver_id is None:
        raise RouteUnassigned
    token, digest = tokens.mint(TOKEN_KIND, company_id)
    link = CustomerLink(
        link_id=uuid7(),
        route_id=route_id,
        stop_id=stop_id,
        driver_id=head.driver_id,
        created_at=now,
        expires_at=expiry_of(head, stop, asked=expires_at, now=now),
        delivered_at=None,
        revoked_at=None,
    )
    await store.insert(conn, company_id, link, digest)
    await _enter(conn, company_id, Act.LINK_CREATED, link, by, now)
    return link, token


def _stop(route: routes.FoundRoute, stop_id: UUID) -> Stop:
    for stop in routes.opened(route).plan.stops:
        if stop.stop_id == stop_id:
            return stop
    raise StopMissing


async def page(
    conn: Connection, company_id: UUID, route_id: UUID | None, *, cursor: str | None, limit: int
) -> tuple[list[CustomerLink], str | None]:
    """Return a page of the links, of a route or of all, and the cursor of the next.

    Raises
    ------
    CursorInvalid
    """
    found = await store.page(conn, company_id, route_id, after=place_of(cursor), limit=limit + 1)
    return page_of(found, limit, lambda one: cursor_of(one.link_id))


async def get(conn: Connection, company_id: UUID, link_id: UUID) -> CustomerLink:
    """Return a link.

    Raises
    ------
    LinkMissing
    """
    return there(await store.get(conn, company_id, link_id), LinkMissing)


async def revoke(
    conn: Connection, company_id: UUID, link_id: UUID, *, by: Actor, now: datetime
) -> CustomerLink:
    """End a link for good. Again is the same as once.

    Before it is answered, the company's frames have to be drained.

    Raises
    ------
    LinkMissing
    """
    revoked = await store.revoke(conn, company_id, link_id, now)
    link = await get(conn, company_id, link_id)
    if revoked:
        await _enter(conn, company_id, Act.LINK_REVOKED, link, by, now)
    return link


async def end_active(conn: Connection, company_id: UUID, *, by: Actor, now: datetime) -> int:
    """End links that have not ended, a page of them; return how many, 0 when none is left.

    The last thing its transaction does.
    """
    ended = await store.revoke_active(conn, company_id, now, limit=ENDED_AT_ONCE_MAX)
    for link in ended:
        await _enter(conn, company_id, Act.LINK_REVOKED, link, by, now)
    return len(ended)


async def of_token(
    conn: Connection, company_id: UUID, digest: bytes, *, now: datetime
) -> CustomerLink:
    """Return the link that has not ended.

    Raises
    ------
    LinkMissing, LinkEnded
    """
    found = there(await store.of_token(conn, company_id, digest), LinkMissing)
    if found.has_ended(now):
        raise LinkEnded
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read for a link. Nothing of it may be sent outside the barrier."""

    link: CustomerLink
    driver_id: UUID
    consented: Consented
    position: LatestPosition | None = field(repr=False)


async def gather(
    conn: Connection, vault: Vault, company_id: UUID, link_ids: Sequence[UUID], *, now: datetime
) -> list[Found]:
    """Read where the links' drivers are, as far as they agreed to show it to customers.

    Nothing is read of who did not, is not on the link's route now, or was erased; the links of
    the erased are not among those returned.
    """
    found = await _consented(conn, company_id, link_ids, now)
    # The same for all links of a driver: they are of the one route that is under way.
    watched = {
        one.driver_id: (one.consented.gate, since)
        for one in found
        if (since := one.consented.shown_since(now)) is not None
    }
    if not watched:
        return found
    latest = await tracking.latest_since(conn, vault, company_id, list(watched.values()), now=now)
    return [
        replace(one, position=latest.get(one.driver_id))
        if one.consented.shown_since(now) is not None
        else one
        for one in found
    ]


async def gather_one(
    conn: Connection, vault: Vault, company_id: UUID, link: CustomerLink, *, now: datetime
) -> Found:
    """Read where the link's driver is, as far as they agreed to show it to customers.

    Raises
    ------
    LinkEnded
        The driver was erased meanwhile.
    """
    for found in await gather(conn, vault, company_id, [link.link_id], now=now):
        return found
    raise LinkEnded


async def stands(conn: Connection, company_id: UUID, found: Found, *, now: datetime) -> bool:
    """Tell, inside the barrier, whether what was read may still be shown."""
    return bool(await standing(conn, company_id, [found], now=now))


async def standing(
    conn: Connection, company_id: UUID, founds: Sequence[Found], *, now: datetime
) -> list[UUID]:
    """Return, inside the barrier, the links of which what was read still holds."""
    link_ids = [one.link.link_id for one in founds]
    present = {one.link.link_id: one for one in await _consented(conn, company_id, link_ids, now)}
    return [
        one.link.link_id
        for one in founds
        if (found := present.get(one.link.link_id)) is not None and _holds(one, found, now)
    ]


def _holds(believed: Found, found: Found, now: datetime) -> bool:
    before, after = believed.consented, found.consented
    return (
        not found.link.has_ended(now)
        and (after.gate.epoch, after.gate.rev) == (before.gate.epoch, before.gate.rev)
        and after.terms == before.terms
        and after.since(now) is not None
    )


async def ended(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    """Return how many links ended thirty days ago, and when the first of them did."""
    held = await holds.drivers_held(conn, company_id, [HeldCategory.WORK], now)
    return await store.count_ended(conn, company_id, now - KEPT, held=held)


async def forget_ended(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete links that ended thirty days ago; return how many. Due each day."""
    held = await holds.drivers_held(conn, company_id, [HeldCategory.WORK], now)
    return await store.delete_ended(
        conn, company_id, now - KEPT, held=held, limit=FORGOTTEN_AT_ONCE_MAX
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """End the driver's links and forget whose they were; return the number of rows."""
    return await store.forget_driver(conn, company_id, member_id)


async def _consented(
    conn: Connection, company_id: UUID, link_ids: Sequence[UUID], now: datetime
) -> list[Found]:
    """Return the links with what holds for them, and no position.

    So many statements, however many links there are: each minute it is asked of every one.
    """
    named = {
        one: one.driver_id
        for one in await store.named(conn, company_id, link_ids)
        if one.driver_id is not None
    }
    drivers = list(set(named.values()))
    terms = await _terms(conn, company_id, named, drivers, now)
    gates, recorded = await _gates(conn, company_id, drivers, now)
    running = await shifts.shifts(conn, company_id, drivers)
    return [
        Found(
            link=link,
            driver_id=driver_id,
            consented=Consented(
                gate=gates[driver_id],
                terms=terms[link.link_id],
                in_window=driver_id in recorded,
                on_shift=shift_state(running.get(driver_id), now) is ShiftState.ON,
            ),
            position=None,
        )
        for link, driver_id in named.items()
        if driver_id in gates
    ]


async def _terms(
    conn: Connection,
    company_id: UUID,
    named: Mapping[CustomerLink, UUID],
    drivers: Sequence[UUID],
    now: datetime,
) -> dict[UUID, Terms]:
    """Return what the links' routes and their drivers' consents say now."""
    starts = await routes.starts(conn, company_id, [link.route_id for link in named])
    driven = await routes.driven(conn, company_id, drivers, now=now)
    standings = await consent.standings(
        conn, company_id, drivers, ConsentItem.CUSTOMER_LINK, at=now
    )
    terms = {}
    for link, driver_id in named.items():
        given_at, taken_back_at = standings[driver_id]
        terms[link.link_id] = Terms(
            begins_at=starts[link.route_id],
            under_way=driven.get(driver_id) == link.route_id,
            given_at=given_at,
            taken_back=taken_back_at is not None and taken_back_at >= link.created_at,
        )
    return terms


async def _gates(
    conn: Connection, company_id: UUID, drivers: Sequence[UUID], now: datetime
) -> tuple[dict[UUID, Gate], Collection[UUID]]:
    """Return the gates, and who may be recorded now. One driver is read without all the others."""
    if len(drivers) > 1:
        gates = {one.driver_id: one for one in await gate.read_all(conn, company_id)}
        return gates, await gate.drivers_in_a_window(conn, company_id, now)
    gates, recorded = {}, []
    for driver_id in drivers:
        with suppress(GateMissing):
            gates[driver_id] = await gate.read(conn, company_id, driver_id)
        windows = await gate.windows(conn, company_id, driver_id, since=now, until=now)
        recorded += [driver_id for one in windows if one.contains(now)]
    return gates, recorded


async def _enter(
    conn: Connection, company_id: UUID, act: Act, link: CustomerLink, by: Actor, now: datetime
) -> None:
    await ledger.append(
        conn,
        company_id,
        act,
        actor=by,
        subject_id=link.driver_id,
        facts={
            "link_id": str(link.link_id),
            "route_id": str(link.route_id),
            "stop_id": str(link.stop_id),
        },
        now=now,
    )


def customer_of(link: CustomerLink) -> Actor:
    """Return the one who looks through a link, as the ledger names them: nobody knows who it is."""
    return Actor(kind=ActorKind.CUSTOMER, reference_id=link.link_id)
