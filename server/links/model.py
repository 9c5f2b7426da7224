"""A customer's link: what it shows of a driver, how exactly, and when it has ended. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import asin, cos, hypot, radians, sin, sqrt
from typing import Final
from uuid import UUID

from server.gate.model import Gate, Purpose
from server.kit.errors import Conflict, Gone, Invalid, NotFound, TooMany
from server.routes.model import TAIL, RouteHead, Stop
from server.tracking.model import LATEST_KEPT_S, LatestPosition

NEAR_M: Final = 2_000.0
FAR_GRID_M: Final = 100
NEAR_GRID_M: Final = 10
EARTH_RADIUS_M: Final = 6_371_008.8
"""IUGG mean radius R1."""
LATITUDE_DEG_MAX: Final = 89.0
"""Beyond it a column of the grid would be wider than 100 m."""
METRES_PER_DEGREE: Final = radians(1) * EARTH_RADIUS_M
STANDING_MPS_MAX: Final = 2.0
"""Slower than this inside a stop's circle is an arrival; faster is driving past."""
AFTER_PLAN: Final = timedelta(hours=2)
"""How long after its stop's planned end a link lasts, if nobody says otherwise."""
EXPIRY_MAX: Final = timedelta(hours=24)
"""How long after the route's planned end a link may last at most."""
MINUTE: Final = timedelta(minutes=1)


KEPT: Final = timedelta(days=30)
"""How long a link that has ended is kept: until then its token is answered that it has."""


class LinkState(StrEnum):
    """What the company is told of a link: what its own people did with it, and no more."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Phase(StrEnum):
    """What a customer is told. ``not_shared`` has one meaning for every cause."""

    PLANNED = "planned"
    ON_THE_WAY = "on_the_way"
    NOT_SHARED = "not_shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerLink:
    """One delivery, for whoever holds the link's token."""

    link_id: UUID
    route_id: UUID
    stop_id: UUID
    driver_id: UUID | None
    """None: the driver was erased, and the link has ended with it."""
    created_at: datetime
    expires_at: datetime
    delivered_at: datetime | None
    """When the arrival was noticed. The company is not told: it reads arrivals in the report."""
    revoked_at: datetime | None

    def has_ended(self, now: datetime) -> bool:
        return self.delivered_at is not None or self.state(now) is not LinkState.ACTIVE

    def state(self, now: datetime) -> LinkState:
        """Return what the company is told, which is not whether the driver has arrived."""
        if self.revoked_at is not None or self.driver_id is None:
            return LinkState.REVOKED
        return LinkState.ACTIVE if now < self.expires_at else LinkState.EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a link's route and its driver's consent to links say now."""

    begins_at: datetime
    """When the route starts, by its plan: a link shows nothing before, and nothing from before."""
    under_way: bool
    """It is the route that the driver has to drive now: of those that started, the last."""
    given_at: datetime | None
    """Since when ``customer_link`` is given; None when it is not."""
    taken_back: bool
    """It was withdrawn since the link was made: giving it again does not bring the link back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented:
    """What the driver agreed to, as far as a link is concerned."""

    gate: Gate
    terms: Terms
    in_window: bool
    on_shift: bool

    def since(self, now: datetime) -> datetime | None:
        """Return from when on the link may know where the driver is; None when it may not now."""
        location, given = self.gate.location_since, self.terms.given_at
        if location is None or given is None or not self.gate.account_active:
            return None
        if self.terms.taken_back or not (self.in_window and self.on_shift):
            return None
        until = self.gate.location_until
        if now < self.terms.begins_at or (until is not None and now >= until):
            return None
        return max(location, given, self.terms.begins_at)

    def shown_since(self, now: datetime) -> datetime | None:
        """Return from when on the link may show positions; None while they drive another route."""
        return self.since(now) if self.terms.under_way else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A route's stops, and what its report says of them. No position."""

    stops: dict[UUID, Stop] = field(repr=False)
    arrived: frozenset[UUID]
    """The stops that the driver has reached."""
    deviation_s: float | None
    """How late the driver is; None where the report does not know."""
    gate: Gate | None
    """That the report was made under; None: it knows nothing but the plan."""

    def knows_under(self, gate: Gate, now: datetime) -> bool:
        """Tell whether there is a report, made under the consents and windows of ``gate``.

        And whether it may still be used: a consent that runs out moves no counter.
        """
        if self.gate is None or gate.since(Purpose.PLAN_FACT, now) is None:
            return False
        return (self.gate.epoch, self.gate.rev) == (gate.epoch, gate.rev)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A position as exactly as a customer may know it."""

    lat: float
    lon: float
    grid_m: int
    fix_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What a link answers."""

    phase: Phase
    spot: Spot | None = field(repr=False)
    eta: datetime | None
    stop: Stop = field(repr=False)


def expiry_of(head: RouteHead, stop: Stop, *, asked: datetime | None, now: datetime) -> datetime:
    """Return when a new link ends: as asked, or two hours after its stop's planned end.

    Raises
    ------
    LinkExpiryInvalid
    """
    last = head.ends_at + EXPIRY_MAX
    planned = [at for at in (stop.planned_arrival, stop.window_end) if at is not None]
    usual = head.ends_at + TAIL
    if planned:
        usual = max(planned) + timedelta(seconds=stop.service_s) + AFTER_PLAN
    expires_at = asked or usual
    if not now < expires_at <= last:
        raise LinkExpiryInvalid
    return expires_at


def tracked(
    stop: Stop,
    progress: Progress,
    consented: Consented,
    position: LatestPosition | None,
    *,
    now: datetime,
) -> Tracked:
    """Return what the customer may know. Without a position nothing that was made of one."""
    since = consented.shown_since(now)
    if position is None or since is None or not _is_fresh(position, since, now):
        phase = Phase.PLANNED if now < consented.terms.begins_at else Phase.NOT_SHARED
        return Tracked(phase=phase, spot=None, eta=None, stop=stop)
    return Tracked(
        phase=Phase.ON_THE_WAY,
        spot=spot_of(position, stop),
        eta=_eta(stop, progress, consented.gate, now),
        stop=stop,
    )


def _is_fresh(position: LatestPosition, since: datetime, now: datetime) -> bool:
    age = now - position.recorded_at
    return position.recorded_at >= since and age <= timedelta(seconds=LATEST_KEPT_S)


def _eta(stop: Stop, progress: Progress, gate: Gate, now: datetime) -> datetime | None:
    """Return the planned arrival moved by how late the driver is, to the minute."""
    if stop.planned_arrival is None or progress.deviation_s is None:
        return None
    if not progress.knows_under(gate, now):
        return None
    expected = max(now, stop.planned_arrival + timedelta(seconds=progress.deviation_s))
    return datetime.fromtimestamp(
        round(expected.timestamp() / MINUTE.total_seconds()) * MINUTE.total_seconds(),
        tz=expected.tzinfo,
    )


def is_standing(position: LatestPosition) -> bool:
    return position.speed_mps is None or position.speed_mps < STANDING_MPS_MAX


def has_arrived(position: LatestPosition, stop: Stop) -> bool:
    """Tell whether the driver stands at the stop."""
    return is_standing(position) and distance_m(position, stop) <= stop.radius_m


def spot_of(position: LatestPosition, stop: Stop) -> Spot:
    """Round to 100 m, within two kilometres of the stop to 10 m.

    The grid is the same for every link and time, so that nobody learns more by asking often or
    from several sides.
    """
    grid_m = NEAR_GRID_M if distance_m(position, stop) <= NEAR_M else FAR_GRID_M
    step_deg = grid_m / METRES_PER_DEGREE
    lat = round(position.lat / step_deg) * step_deg
    # As wide as its row of the grid, or the columns would betray where in the row it is.
    wide_deg = step_deg / cos(radians(min(abs(lat), LATITUDE_DEG_MAX)))
    lon = round(position.lon / wide_deg) * wide_deg
    return Spot(
        lat=round(max(-90.0, min(90.0, lat)), 6),
        lon=round(max(-180.0, min(180.0, lon)), 6),
        grid_m=grid_m,
        fix_at=position.recorded_at,
    )


def distance_m(position: LatestPosition, stop: Stop) -> float:
    """Return the straight distance on the sphere: good to 0.6 %."""
    north = radians(stop.lat - position.lat) / 2
    east = radians(stop.lon - position.lon) / 2
    shrink = cos(radians(stop.lat)) * cos(radians(position.lat))
    chord = hypot(sin(north), sqrt(shrink) * sin(east))
    return 2 * EARTH_RADIUS_M * asin(min(1.0, chord))


class LinkMissing(NotFound):
    slug = "link-not-found"
    title = "No such link"


class StopMissing(NotFound):
    slug = "stop-not-found"
    title = "No such stop"


class LinkEnded(Gone):
    slug = "link-ended"
    title = "This link has ended"


class RouteUnassigned(Conflict):
    slug = "route-unassigned"
    title = "The route has no driver"


class LinkExpiryInvalid(Invalid):
    slug = "link-expiry-invalid"
    title = "The link cannot end then"

    def __init__(self) -> None:
        super().__init__(
            "It ends in the future, and at most 24 hours after the planned end of the route."
        )


class TooManyLooks(TooMany):
    slug = "too-many-looks"
    title = "This link is asked too often"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__()
