"""What the endpoints of vehicles read and write."""

from typing import Annotated
from uuid import UUID

from server.kit.wire import ProfileText, Wire


class NewVehicle(Wire):
    name: Annotated[str, ProfileText(80)]
    plate: Annotated[str, ProfileText(16)]


class VehicleView(Wire):
    vehicle_id: UUID
    name: str
    plate: str
