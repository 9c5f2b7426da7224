"""What a screen is sent: the views of the snapshot, and the events of the stream."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from server.alerts.model import AlertKind, AlertNews, AlertWord
from server.kit.wire import Instant, Latitude, Longitude, Wire
from server.live.model import (
    Erasure,
    ErasureWord,
    Event,
    Gone,
    RouteNews,
    Sight,
    Signal,
    Undriven,
    Work,
)
from server.stop_events.model import StopNews


class VehicleRef(Wire):
    name: str
    plate: str


class StateView(Wire):
    """What became of a driver. ``not_shared`` and ``off_shift`` never tell a cause."""

    driver_id: UUID
    link: Signal
    work: Work | None
    route_id: UUID | None
    epoch: int
    """Grows by one when it begins or ends that positions may be shown, whatever the cause."""


class PositionView(StateView):
    """The position's members are absent unless ``link`` is live, stale or lost."""

    lat: Latitude | None = None
    lon: Longitude | None = None
    fix_at: Instant | None = None
    speed_mps: Annotated[float, Field(ge=0, le=1_000)] | None = None
    heading_deg: Annotated[float, Field(ge=0, le=360)] | None = None
    accuracy_m: Annotated[float, Field(ge=0, le=10_000_000)] | None = None


class LiveDriverView(PositionView):
    name: str
    vehicle: VehicleRef | None


class LiveView(Wire):
    server_now: Instant
    drivers: list[LiveDriverView]


class HelloData(Wire):
    stream_id: str
    server_now: Instant
    heartbeat_s: Annotated[float, Field(ge=0, le=3_600)]


class ResyncData(Wire):
    """Events were missed: read the snapshot again."""

    reason: str


class PosData(Wire):
    server_now: Instant
    drivers: list[PositionView]


class GoneData(Wire):
    """Forget this driver's positions of this epoch and before."""

    driver_id: UUID
    epoch: int


class UndrivenData(Wire):
    """Forget the lines of what this driver drove, and what was counted of them."""

    driver_id: UUID


class ErasureData(Wire):
    driver_id: UUID
    state: ErasureWord


class AlertData(Wire):
    """What became of an alert, without any place."""

    alert_id: UUID
    kind: AlertKind
    route_id: UUID
    driver_id: UUID
    state: AlertWord


class StopData(Wire):
    """A driver said something of a stop."""

    stop_event_id: UUID
    route_id: UUID
    stop_id: UUID


class RouteData(Wire):
    """A route was planned, changed or removed."""

    route_id: UUID
    plan_version: Annotated[int, Field(ge=1)] | None
    """None: it was removed, or is of another time now."""


class EventStream:
    """Writes what is told as server-sent events."""

    def __init__(self, *, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s

    def hello(self, event_id: str, *, stream_id: str, now: datetime) -> bytes:
        data = HelloData(stream_id=stream_id, server_now=now, heartbeat_s=self._heartbeat_s)
        return _sse("hello", data, event_id)

    def resync(self, event_id: str, reason: str) -> bytes:
        return _sse("resync", ResyncData(reason=reason), event_id)

    def event(self, event_id: str, event: Event) -> bytes:
        match event:
            case Gone():
                written = _sse("gone", GoneData.model_validate(event), event_id)
            case Undriven():
                written = _sse("undriven", UndrivenData.model_validate(event), event_id)
            case Erasure():
                written = _sse("erasure", ErasureData.model_validate(event), event_id)
            case AlertNews():
                written = _sse("alert", AlertData.model_validate(event), event_id)
            case StopNews():
                written = _sse("stop", StopData.model_validate(event), event_id)
            case RouteNews():
                written = _sse("route", RouteData.model_validate(event), event_id)
            case _:  # a sight stands for the driver's state
                written = _sse("state", StateView(**_state(event)), event_id)
        return written

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes:
        """Write positions. Without an id: they are never replayed."""
        drivers = [PositionView(**members_of(sight)) for sight in moves]
        return _sse("pos", PosData(server_now=now, drivers=drivers))


def _sse(name: str, data: Wire, event_id: str | None = None) -> bytes:
    head = f"event: {name}\n" if event_id is None else f"id: {event_id}\nevent: {name}\n"
    # JSON escapes line ends, so that the data are one line.
    return head.encode() + b"data: " + to_json(data) + b"\n\n"


def to_json(data: Wire) -> bytes:
    return data.model_dump_json(exclude_unset=True).encode()


def _state(sight: Sight) -> dict[str, Any]:
    return {
        "driver_id": sight.driver_id,
        "link": sight.signal,
        "work": sight.work,
        "route_id": sight.route_id,
        "epoch": sight.epoch,
    }


def members_of(sight: Sight) -> dict[str, Any]:
    members = _state(sight)
    if sight.position is not None:
        members |= {
            "lat": sight.position.lat,
            "lon": sight.position.lon,
            "fix_at": sight.position.recorded_at,
            "speed_mps": sight.position.speed_mps,
            "heading_deg": sight.position.heading_deg,
            "accuracy_m": sight.position.accuracy_m,
        }
    return members
