"""Routes over HTTP: planning, reading, changing, giving to drivers."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import VAULT, staff
from server.credentials.model import Scope
from server.kit.api import endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Page
from server.roads.web import roads
from server.routes import editing, service
from server.routes.changes import (
    VERSIONS_MAX,
    PlanChanged,
    PlanVersionsTooMany,
    RouteBegun,
    RouteCancelled,
    RouteInUse,
    RouteOver,
    StopNotInPlan,
    StopSettled,
    StopTwice,
)
from server.routes.model import (
    AssigneeUnknown,
    PlanTooLong,
    PlanUnmeasurable,
    PlanVersionNotFound,
    RouteNotFound,
    StopReferenceTwice,
    WindowBackwards,
)
from server.routes.wire import (
    ROUTE_BODY_BYTES_MAX,
    AssignmentView,
    AssignmentWarning,
    CancelledView,
    GivenTo,
    PlanVersions,
    PlanVersionView,
    RouteEdit,
    RoutePlan,
    RouteQuery,
    RouteSummary,
    RouteView,
    edit_of,
    new_route,
    summary,
    view,
)

VersionNumber = Annotated[int, Field(ge=1, le=VERSIONS_MAX)]


@endpoint(
    "POST",
    "/v1/routes",
    access=staff(Scope.ROUTES_WRITE),
    status=HTTPStatus.CREATED,
    raises=(WindowBackwards, StopReferenceTwice, PlanTooLong, PlanUnmeasurable, AssigneeUnknown),
    body_bytes_max=ROUTE_BODY_BYTES_MAX,
)
async def create_route(request: web.Request, body: RoutePlan) -> RouteView:
    """Plan a route.

    Stops stand in the order in which they are to be driven to. The plan is sealed; only its
    times, its length and whom it is assigned to are stored in clear.
    """
    drafted = await service.drafted(new_route(body))
    draft = await service.on_roads(request[COMPANY], drafted, roads(request))
    async with transaction(request) as conn:
        route = await service.create(
            conn, request.app[VAULT], request[COMPANY], draft, now=now(request)
        )
    return await asyncio.to_thread(view, route)


@endpoint("GET", "/v1/routes", access=staff(Scope.ROUTES_READ))
async def list_routes(request: web.Request, query: RouteQuery) -> Page[RouteSummary]:
    """List routes, newest first, of a day or a driver."""
    async with transaction(request, readonly=True) as conn:
        routes = await service.page(
            conn,
            request.app[VAULT],
            request[COMPANY],
            day=query.date,
            driver_id=query.driver_id,
            after=query.cursor,
            limit=query.limit,
        )
    full = len(routes) == query.limit
    return Page[RouteSummary](
        items=[summary(route) for route in routes],
        next_cursor=str(routes[-1].head.route_id) if full else None,
    )


@endpoint("GET", "/v1/routes/{route_id}", access=staff(Scope.ROUTES_READ), raises=(RouteNotFound,))
async def get_route(request: web.Request, route_id: UUID) -> RouteView:
    """Read a route with its stops and its line."""
    async with transaction(request, readonly=True) as conn:
        found = await service.find(conn, request.app[VAULT], request[COMPANY], route_id)
    return await asyncio.to_thread(lambda: view(service.opened(found)))


@endpoint(
    "PATCH",
    "/v1/routes/{route_id}",
    access=staff(Scope.ROUTES_WRITE),
    raises=(
        RouteNotFound,
        PlanChanged,
        PlanVersionsTooMany,
        RouteCancelled,
        RouteOver,
        StopSettled,
        StopNotInPlan,
        StopTwice,
        WindowBackwards,
        StopReferenceTwice,
        PlanTooLong,
        PlanUnmeasurable,
    ),
    body_bytes_max=ROUTE_BODY_BYTES_MAX,
)
async def edit_route(request: web.Request, route_id: UUID, body: RouteEdit) -> RouteView:
    """Change a plan, also while it is driven. The version before is kept.

    `plan_version` is the one that the change was decided on: if somebody else changed the plan
    meanwhile, nothing is changed. A stop that is sent with its `stop_id` stays the same stop; what
    its driver has already reported of stays as it is.
    """
    edit, kept_ids = edit_of(body)
    async with transaction(request, readonly=True) as conn:
        found = await service.find(conn, request.app[VAULT], request[COMPANY], route_id)
    redraft = await editing.redrafted(
        request[COMPANY], found, edit, kept_ids=kept_ids, roads=roads(request)
    )
    async with transaction(request) as conn:
        route = await editing.save(
            conn, request.app[VAULT], request[COMPANY], redraft, now=now(request)
        )
    return await asyncio.to_thread(view, route)


@endpoint(
    "GET",
    "/v1/routes/{route_id}/versions",
    access=staff(Scope.ROUTES_READ),
    raises=(RouteNotFound,),
)
async def list_plan_versions(request: web.Request, route_id: UUID) -> PlanVersions:
    """List the versions of a plan, the one in force first."""
    async with transaction(request, readonly=True) as conn:
        found = await editing.versions(conn, request[COMPANY], route_id)
    return PlanVersions(items=[PlanVersionView.model_validate(one) for one in found])


@endpoint(
    "GET",
    "/v1/routes/{route_id}/versions/{plan_version}",
    access=staff(Scope.ROUTES_READ),
    raises=(RouteNotFound, PlanVersionNotFound),
)
async def get_plan_version(
    request: web.Request, route_id: UUID, plan_version: VersionNumber
) -> RouteView:
    """Read a route as one version of its plan had it; whom it is given to is of now."""
    async with transaction(request, readonly=True) as conn:
        found = await service.version(
            conn, request.app[VAULT], request[COMPANY], route_id, plan_version
        )
    return await asyncio.to_thread(lambda: view(service.opened(found)))


@endpoint(
    "PUT",
    "/v1/routes/{route_id}/assignment",
    access=staff(Scope.ROUTES_WRITE),
    raises=(RouteNotFound, RouteCancelled, RouteOver, RouteBegun, AssigneeUnknown),
)
async def assign_route(request: web.Request, route_id: UUID, body: GivenTo) -> AssignmentView:
    """Give a route to a driver and a vehicle, or take it back before it begins.

    It is no new version of the plan. Where the driver has another route at some of the same time,
    `warnings` names it; it is given all the same.
    """
    async with transaction(request) as conn:
        given = await editing.assign(
            conn,
            request[COMPANY],
            route_id,
            driver_id=body.driver_id,
            vehicle_id=body.vehicle_id,
            now=now(request),
        )
    return AssignmentView(
        route_id=route_id,
        driver_id=given.driver_id,
        vehicle_id=given.vehicle_id,
        warnings=[AssignmentWarning(code="overlap", route_id=one) for one in given.overlapping],
    )


@endpoint(
    "POST",
    "/v1/routes/{route_id}/cancel",
    access=staff(Scope.ROUTES_WRITE),
    raises=(RouteNotFound, RouteOver),
)
async def cancel_route(request: web.Request, route_id: UUID) -> CancelledView:
    """Let a route be driven no further. Again is the same as once.

    It stays readable, with what was driven of it until then.
    """
    async with transaction(request) as conn:
        since = await editing.cancel(conn, request[COMPANY], route_id, now=now(request))
    return CancelledView(route_id=route_id, cancelled_at=since)


@endpoint(
    "DELETE",
    "/v1/routes/{route_id}",
    access=staff(Scope.ROUTES_WRITE),
    raises=(RouteNotFound, RouteBegun, RouteInUse),
)
async def delete_route(request: web.Request, route_id: UUID) -> None:
    """Remove a route that was planned by mistake, with every version of its plan.

    Only before it begins; after that it is cancelled.
    """
    async with transaction(request) as conn:
        await editing.delete(conn, request[COMPANY], route_id, now=now(request))


ENDPOINTS: Final = (
    create_route,
    list_routes,
    get_route,
    edit_route,
    list_plan_versions,
    get_plan_version,
    assign_route,
    cancel_route,
    delete_route,
)
