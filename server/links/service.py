"""Customers' links: making and ending them, and reading what one may show now."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from server.consent import service as consent
from server.consent.model import ConsentItem
from server.gate import handover
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db, tokens
from server.kit.cursors import cursor_of, place_of
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.links import store
from server.links.model import (
    Consented,
    CustomerLink,
    LinkEnded,
    LinkMissing,
    LinkState,
    Progress,
    RouteUnassigned,
    StopMissing,
    expiry_of,
    has_arrived,
)
from server.routes import service as routes
from server.routes.model import Stop
from server.shifts import service as shifts
from server.shifts.model import ShiftState, shift_state
from server.tracking import service as tracking
from server.tracking.model import LatestPosition
from server.vault.service import Vault

TOKEN_KIND: Final = "jl"  # noqa: S105 - how such a token begins
ITEM: Final = ConsentItem.CUSTOMER_LINK


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
    RouteNotFound, StopMissing, RouteUnassigned, LinkExpiryInvalid
    """
    route = await routes.find(conn, vault, company_id, route_id)
    stop = await asyncio.to_thread(_stop, route, stop_id)
    head = route.sealed.head
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
    if len(found) <= limit:
        return found, None
    return found[:limit], cursor_of(found[limit - 1].link_id)


async def get(conn: Connection, company_id: UUID, link_id: UUID) -> CustomerLink:
    """Return a link.

    Raises
    ------
    LinkMissing
    """
    found = await store.get(conn, company_id, link_id)
    if found is None:
        raise LinkMissing
    return found


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


async def of_token(
    conn: Connection, company_id: UUID, digest: bytes, *, now: datetime
) -> CustomerLink:
    """Return the link that has not ended.

    Raises
    ------
    LinkMissing, LinkEnded
    """
    found = await store.of_token(conn, company_id, digest)
    if found is None:
        raise LinkMissing
    if found.state(now) is not LinkState.ACTIVE:
        raise LinkEnded
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read for a link. Nothing of it may be sent outside the barrier."""

    link: CustomerLink
    driver_id: UUID
    consented: Consented
    under_way: bool
    position: LatestPosition | None = field(repr=False)


async def gather(
    conn: Connection, vault: Vault, company_id: UUID, link: CustomerLink, *, now: datetime
) -> Found:
    """Read where the link's driver is, as far as they agreed to show it to customers.

    Raises
    ------
    LinkEnded
        The driver was erased meanwhile.
    """
    if link.driver_id is None:
        raise LinkEnded
    try:
        consented = await _consented(conn, company_id, link, link.driver_id, now)
    except GateMissing:
        raise LinkEnded from None
    assigned = (await routes.assigned(conn, company_id, now=now)).get(link.driver_id)
    under_way = assigned is not None and assigned.route_id == link.route_id
    position = None
    since = consented.since(now)
    if under_way and since is not None:
        watched = [(consented.gate, since)]
        latest = await tracking.latest_since(conn, vault, company_id, watched, now=now)
        position = latest.get(link.driver_id)
    return Found(
        link=link,
        driver_id=link.driver_id,
        consented=consented,
        under_way=under_way,
        position=position,
    )


async def stands(conn: Connection, company_id: UUID, found: Found, *, now: datetime) -> bool:
    """Tell, inside the barrier, whether what was read may still be shown."""
    link = await store.get(conn, company_id, found.link.link_id)
    if link is None or link.state(now) is not LinkState.ACTIVE:
        return False
    if await handover.same_gate(conn, found.consented.gate) is None:
        return False
    consented = await _consented(conn, company_id, link, found.driver_id, now)
    return consented.since(now) is not None and consented.given_at == found.consented.given_at


def is_over(found: Found, stop: Stop, progress: Progress, *, now: datetime) -> bool:
    """Tell whether the driver has arrived, as far as they agreed that the link may know."""
    if found.consented.since(now) is None:
        return False
    stands_there = found.position is not None and has_arrived(found.position, stop)
    return stands_there or stop.stop_id in progress.arrived


async def note_delivered(
    conn: Connection, company_id: UUID, link_ids: Sequence[UUID], *, now: datetime
) -> int:
    """End these links, because the driver has arrived; return how many it ended."""
    return await store.set_delivered(conn, company_id, link_ids, now)


async def note_arrivals(pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> int:
    """End the links of drivers who stand at the stop; return how many. Due each minute.

    Nobody has to look for it: a link must not outlive its delivery because its customer looked
    away. Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        showing = []
        for link in await store.active(conn, company_id, now):
            with suppress(LinkEnded):
                found = await gather(conn, vault, company_id, link, now=now)
                if found.position is not None:
                    showing.append(found)
        plans = {
            route_id: await routes.find(conn, vault, company_id, route_id)
            for route_id in {one.link.route_id for one in showing}
        }
    arrived = await asyncio.to_thread(_arrived, showing, plans)
    if not arrived:
        return 0
    async with db.tenant(pool, company_id) as conn:
        return await note_delivered(conn, company_id, arrived, now=now)


def _arrived(showing: Sequence[Found], plans: dict[UUID, routes.FoundRoute]) -> list[UUID]:
    stops = {
        (route_id, stop.stop_id): stop
        for route_id, route in plans.items()
        for stop in routes.opened(route).plan.stops
    }
    return [
        one.link.link_id
        for one in showing
        if one.position is not None
        and (stop := stops.get((one.link.route_id, one.link.stop_id))) is not None
        and has_arrived(one.position, stop)
    ]


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """End the driver's links and forget whose they were; return the number of rows."""
    return await store.forget_driver(conn, company_id, member_id)


async def _consented(
    conn: Connection, company_id: UUID, link: CustomerLink, driver_id: UUID, now: datetime
) -> Consented:
    found = await gate.read(conn, company_id, driver_id)
    windows = await gate.windows(conn, company_id, driver_id, since=now, until=now)
    shift = await shifts.shift(conn, company_id, driver_id)
    return Consented(
        gate=found,
        given_at=await consent.given_since(conn, company_id, driver_id, ITEM, at=now),
        taken_back=await consent.was_taken_back(
            conn, company_id, driver_id, ITEM, since=link.created_at
        ),
        in_window=any(one.contains(now) for one in windows),
        on_shift=shift_state(shift, now) is ShiftState.ON,
    )


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
