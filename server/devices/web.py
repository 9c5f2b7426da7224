"""Endpoints of a device: adding it, its notice, and the phone's own switch for the location."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web

from server.accounts.model import Locale
from server.credentials.access import CALLER, DRIVER, ITS_DEVICE, VAULT, me
from server.credentials.model import (
    DeviceMissing,
    DeviceNumbersUsedUp,
    MemberStateRefused,
    NotAuthenticated,
)
from server.credentials.wire import AddedDevice, NewDevice
from server.devices import service
from server.devices.model import Permission
from server.gate.model import GateMissing
from server.gate.web import stopping
from server.journal.model import StopUnconfirmed
from server.kit.api import Endpoint, endpoint
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Text, Wire
from server.policies.model import EditionMissing, EditionOutdated, TextDiffers
from server.policies.wire import EditionNumber
from server.shifts.model import ShiftState


class DeviceNoticeRead(Wire):
    """The text that was shown on the device, named by its hash."""

    edition: EditionNumber
    language: Locale
    sha256: Annotated[str, Text(64, 64)]


class AcknowledgementView(Wire):
    device_id: UUID
    edition: int
    language: Locale
    sha256: str
    acknowledged_at: Instant


class PermissionChange(Wire):
    state: Permission


class PermissionView(Wire):
    state: Permission
    changed_at: Instant
    shift: ShiftState


@endpoint(
    "POST",
    "/v1/me/devices",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(MemberStateRefused, DeviceNumbersUsedUp),
)
async def add_device(request: web.Request, *, body: NewDevice) -> AddedDevice:
    """Register a phone app; its token may send positions and nothing else."""
    async with transaction(request) as conn:
        device, token = await service.add(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            name=body.name,
            now=now(request),
        )
    return AddedDevice(device_id=device.device_id, name=body.name, token=token)


@endpoint(
    "POST",
    "/v1/me/devices/{device_id}/notice",
    access=DRIVER,
    raises=(GateMissing, DeviceMissing, EditionMissing, EditionOutdated, TextDiffers),
)
async def acknowledge_device_notice(
    request: web.Request, *, device_id: UUID, body: DeviceNoticeRead
) -> AcknowledgementView:
    """Acknowledge the device notice on one of the caller's devices.

    Nothing is taken from a device before, nor after another edition came into force.
    """
    async with transaction(request) as conn:
        found = await service.acknowledge(
            conn,
            request[COMPANY],
            me(request),
            device_id,
            edition=body.edition,
            language=body.language,
            sha256=body.sha256,
            now=now(request),
        )
    return AcknowledgementView.model_validate(found)


@endpoint(
    "POST",
    "/v1/device/permission",
    access=ITS_DEVICE,
    raises=(
        GateMissing,
        StopUnconfirmed,
    ),
)
async def set_device_permission(request: web.Request, *, body: PermissionChange) -> PermissionView:
    """Tell what the phone's own switch for the location says now.

    `denied` pauses at once; once it is answered, nothing more is stored or shown. `granted` starts
    nothing: only the driver resumes.
    """
    at, company_id, driver_id = now(request), request[COMPANY], me(request)
    device_id = request[CALLER].device_id
    if device_id is None:
        raise NotAuthenticated
    key = (company_id, driver_id, device_id, body.state)
    if body.state is Permission.DENIED:
        async with stopping(request, driver_id, at) as conn:
            switched = await service.set_permission(conn, *key, now=at)
    else:
        async with transaction(request) as conn:
            switched = await service.set_permission(conn, *key, now=at)
    return PermissionView(
        state=switched.permission, changed_at=switched.changed_at, shift=switched.shift
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    add_device,
    acknowledge_device_notice,
    set_device_permission,
)
