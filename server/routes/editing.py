"""Changing a route once it is planned: its plan, whom it is given to, and that it is not driven.

The caller owns the transaction. Every version of a plan is kept: a report can always say which plan
it compares with.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit.db import Connection
from server.kit.errors import there
from server.roads.service import Roads
from server.routes import service, version_store
from server.routes.changes import (
    Edit,
    RouteBegun,
    edited,
    has_begun,
    refuse_another_version,
    refuse_past,
    refuse_unsettling,
)
from server.routes.model import PlanVersion, Route, RouteHead, RouteNotFound
from server.routes.service import Draft, FoundRoute
from server.vault.service import Vault

OVERLAPPING_SHOWN_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Redraft:
    """A changed plan, measured, with what it was made of."""

    before: Route
    draft: Draft


async def redrafted(
    company_id: UUID, found: FoundRoute, edit: Edit, *, kept_ids: Sequence[UUID], roads: Roads
) -> Redraft:
    """Change a plan and measure it, in a thread; nothing is stored yet.

    One that is left without a line is laid on roads. Only outside of a transaction.

    Raises
    ------
    PlanChanged, StopNotInPlan, StopTwice, WindowBackwards, StopReferenceTwice, PlanUnmeasurable
    """

    def redraft() -> Redraft:
        before = service.opened(found)
        return Redraft(
            before=before, draft=service.draft_of(edited(before, edit, kept_ids=kept_ids))
        )

    made = await asyncio.to_thread(redraft)
    return replace(made, draft=await service.on_roads(company_id, made.draft, roads))


async def save(
    conn: Connection, vault: Vault, company_id: UUID, redraft: Redraft, *, now: datetime
) -> Route:
    """Put the changed plan in the place of the one it was made of, which is kept.

    Raises
    ------
    PlanChanged
        Somebody else changed it in between.
    RouteNotFound, RouteCancelled, RouteOver, StopSettled, PlanVersionsTooMany, PlanTooLong
    """
    before, draft = redraft.before, redraft.draft
    route_id = before.head.route_id
    head, settled = there(await version_store.lock(conn, company_id, route_id), RouteNotFound)
    refuse_past(head, now)
    refuse_another_version(head, before.head.plan_version)
    refuse_unsettling(before.plan.stops, draft.plan.stops, settled)
    starts_at, ends_at = await service.span_planned(conn, company_id, draft.new)
    changed = replace(
        head,
        starts_at=starts_at,
        ends_at=ends_at,
        plan_version=head.plan_version + 1,
        stop_count=len(draft.plan.stops),
        planned_m=draft.planned_m,
    )
    sealed = await service.sealed(vault, company_id, changed, draft, now=now)
    await version_store.keep_version(conn, company_id, route_id, now)
    await version_store.replace_plan(conn, company_id, sealed, now)
    return Route(head=changed, name=draft.new.name, plan=draft.plan)


async def settle(conn: Connection, company_id: UUID, route_id: UUID, stop_id: UUID) -> None:
    """Let a stop stay in its plan as it is: its driver came to it, or was done. Again is as once.

    It queues at the route, behind whoever is changing the plan just now.
    """
    await version_store.settle(conn, company_id, route_id, stop_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Whom a route is given to, and which of the driver's other routes it overlaps."""

    driver_id: UUID | None
    vehicle_id: UUID | None
    overlapping: Sequence[UUID]


async def assign(
    conn: Connection,
    company_id: UUID,
    route_id: UUID,
    *,
    driver_id: UUID | None,
    vehicle_id: UUID | None,
    now: datetime,
) -> Given:
    """Give a route to a driver and a vehicle; None takes it back. No new version of the plan.

    Raises
    ------
    RouteNotFound, AssigneeUnknown, RouteCancelled, RouteOver
    RouteBegun
        It is to be taken back, and its driver may have driven to it.
    """
    await service.head(conn, company_id, route_id)  # before anything is said of whom
    # The driver is locked first: an erasure locks them before it comes to their routes.
    await service.refuse_unknown_assignees(
        conn, company_id, driver_id=driver_id, vehicle_id=vehicle_id
    )
    head, _ = there(await version_store.lock(conn, company_id, route_id), RouteNotFound)
    refuse_past(head, now)
    is_driven = await _is_driven(conn, company_id, head, now)
    if driver_id is None and is_driven:
        raise RouteBegun
    await version_store.assign(
        conn,
        company_id,
        route_id,
        driver_id=driver_id,
        vehicle_id=vehicle_id,
        has_begun=is_driven,
        now=now,
    )
    others: Sequence[UUID] = ()
    if driver_id is not None:
        others = await version_store.overlapping(
            conn, company_id, driver_id, head, limit=OVERLAPPING_SHOWN_MAX
        )
    return Given(driver_id=driver_id, vehicle_id=vehicle_id, overlapping=others)


async def cancel(conn: Connection, company_id: UUID, route_id: UUID, *, now: datetime) -> datetime:
    """Let a route be driven no further; return since when. Again is the same as once.

    It stays with its plan, its driver and what was driven of it until now.

    Raises
    ------
    RouteNotFound, RouteOver
    """
    head, _ = there(await version_store.lock(conn, company_id, route_id), RouteNotFound)
    if head.cancelled_at is not None:
        return head.cancelled_at
    refuse_past(head, now)
    await version_store.cancel(conn, company_id, route_id, now)
    return now


async def delete(conn: Connection, company_id: UUID, route_id: UUID, *, now: datetime) -> None:
    """Remove a route that was planned by mistake, with every version of its plan.

    Raises
    ------
    RouteNotFound
    RouteBegun
        Its driver may have driven to it: what is known of it stays.
    RouteInUse
        A customer's link, a report or an alert leads to it, or a driver said something of it.
    """
    head, settled = there(await version_store.lock(conn, company_id, route_id), RouteNotFound)
    if settled or await _is_driven(conn, company_id, head, now):
        raise RouteBegun
    await version_store.delete_versions(conn, company_id, route_id)
    await version_store.delete(conn, company_id, route_id)


async def _is_driven(conn: Connection, company_id: UUID, head: RouteHead, now: datetime) -> bool:
    """Tell whether a route has begun with a driver. It stays theirs, or another's, from then on."""
    if head.driver_id is None:
        return False
    return has_begun(await version_store.versions(conn, company_id, head.route_id), now)


async def versions(conn: Connection, company_id: UUID, route_id: UUID) -> list[PlanVersion]:
    """Return all versions of a plan, the one in force first.

    Raises
    ------
    RouteNotFound
    """
    found = await version_store.versions(conn, company_id, route_id)
    if not found:
        raise RouteNotFound
    return found


async def known_since(
    conn: Connection, company_id: UUID, route_id: UUID, plan_version: int
) -> datetime | None:
    """Return since when the route's driver has had it as this version of its plan has it.

    None: nobody has it, or it was given to them before that was stored.
    """
    return await version_store.known_since(conn, company_id, route_id, plan_version)
