"""The vehicles' endpoints."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from server.credentials.access import staff
from server.credentials.model import Scope
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Page, PageQuery
from server.vehicles import service
from server.vehicles.model import PlateTaken
from server.vehicles.wire import NewVehicle, VehicleView


@endpoint("GET", "/v1/vehicles", access=staff(Scope.ROUTES_READ), raises=(CursorInvalid,))
async def list_vehicles(request: web.Request, *, query: PageQuery) -> Page[VehicleView]:
    """List the company's vehicles."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.vehicles(
            conn, request[COMPANY], cursor=query.cursor, limit=query.limit
        )
    return Page(items=[VehicleView.model_validate(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/vehicles",
    access=staff(Scope.ROUTES_WRITE),
    status=HTTPStatus.CREATED,
    raises=(PlateTaken,),
)
async def add_vehicle(request: web.Request, *, body: NewVehicle) -> VehicleView:
    """Add a vehicle."""
    async with transaction(request) as conn:
        vehicle = await service.add_vehicle(
            conn, request[COMPANY], name=body.name, plate=body.plate, now=now(request)
        )
    return VehicleView.model_validate(vehicle)


ENDPOINTS: Final = (list_vehicles, add_vehicle)
