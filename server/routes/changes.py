"""What may be changed of a route once it is planned, and what may not. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit.errors import Conflict, Invalid
from server.routes.model import LEAD, TAIL, NewRoute, PlanVersion, Route, RouteHead, Stop

VERSIONS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to be changed of a plan. Name and stops: None leaves them as they are.

    ``planned_start`` and ``line`` have a meaning of their own where they are None, so
    ``changed`` tells whether they are to be changed.
    """

    plan_version: int
    """The version that was looked at while this was decided."""
    changed: frozenset[str]
    name: str | None
    stops: Sequence[Stop] | None
    """A stop that is in the plan already keeps its id, others have a new one."""
    planned_start: datetime | None
    line: Sequence[tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class PlanMark:
    """What tells that a route is not as it was."""

    plan_version: int
    driver_id: UUID | None
    vehicle_id: UUID | None
    cancelled_at: datetime | None
    ends_at: datetime
    changed_at: datetime
    """When it was planned, or given to somebody, at last."""


def edited(before: Route, edit: Edit, *, kept_ids: Sequence[UUID]) -> NewRoute:
    """Return the route as it would be planned anew. ``kept_ids``: those that the caller named.

    A line that nobody spoke of goes on while the places are the same ones in the same order.

    Raises
    ------
    PlanChanged, StopNotInPlan, StopTwice
    """
    head, plan = before.head, before.plan
    if edit.plan_version != head.plan_version:
        raise PlanChanged(head.plan_version)
    if len(set(kept_ids)) != len(kept_ids):
        raise StopTwice
    if not {stop.stop_id for stop in plan.stops}.issuperset(kept_ids):
        raise StopNotInPlan
    stops = plan.stops if edit.stops is None else edit.stops
    goes_on = "line" not in edit.changed and _places(stops) == _places(plan.stops)
    return NewRoute(
        name=before.name if edit.name is None else edit.name,
        day=head.date,
        driver_id=head.driver_id,
        vehicle_id=head.vehicle_id,
        planned_start=edit.planned_start if "planned_start" in edit.changed else plan.planned_start,
        stops=stops,
        line=plan.line if goes_on else edit.line,
        by_roads=goes_on and plan.by_roads,
    )


def _places(stops: Sequence[Stop]) -> list[tuple[float, float]]:
    return [(stop.lat, stop.lon) for stop in stops]


def refuse_unsettling(
    before: Sequence[Stop], after: Sequence[Stop], settled: frozenset[UUID]
) -> None:
    """Refuse to move, retime or drop what the driver has already spoken of.

    Raises
    ------
    StopSettled
    """
    kept = {stop.stop_id: stop for stop in after}
    for stop in before:
        if stop.stop_id in settled and kept.get(stop.stop_id) != stop:
            raise StopSettled(stop.stop_id)


def refuse_past(head: RouteHead, now: datetime) -> None:
    """Refuse to change what is over: what was planned for a day stays what it was.

    Raises
    ------
    RouteCancelled, RouteOver
    """
    if head.cancelled_at is not None:
        raise RouteCancelled
    if head.ends_at + TAIL <= now:
        raise RouteOver


def has_begun(versions: Sequence[PlanVersion], now: datetime) -> bool:
    """Tell whether a route's hour came while a version of its plan was in force.

    Planned anew for later after that, it had begun all the same.
    """
    return any(one.starts_at - LEAD <= (one.replaced_at or now) for one in versions)


def refuse_another_version(head: RouteHead, plan_version: int) -> None:
    """Refuse a change of another version than the one in force, and one version too many.

    Raises
    ------
    PlanChanged, PlanVersionsTooMany
    """
    if head.plan_version != plan_version:
        raise PlanChanged(head.plan_version)
    if head.plan_version >= VERSIONS_MAX:
        raise PlanVersionsTooMany(VERSIONS_MAX)


class PlanChanged(Conflict):
    """``plan_version`` is the one in force."""

    slug = "plan-changed"
    title = "The plan was changed by somebody else"

    def __init__(self, plan_version: int) -> None:
        self.plan_version = plan_version
        super().__init__("Look at the present version, and decide again.")

    def members(self) -> dict[str, object]:
        return {"plan_version": self.plan_version}


class PlanVersionsTooMany(Conflict):
    slug = "plan-versions-too-many"
    title = "This plan was changed too often"

    def __init__(self, versions_max: int) -> None:
        super().__init__(f"A plan has at most {versions_max} versions. Plan a new route.")


class StopSettled(Conflict):
    slug = "stop-settled"
    title = "The driver has already said something of this stop"

    def __init__(self, stop_id: UUID) -> None:
        self.stop_id = stop_id
        super().__init__("It stays in the plan as it is: stop_id names it.")

    def members(self) -> dict[str, object]:
        return {"stop_id": str(self.stop_id)}


class StopNotInPlan(Invalid):
    slug = "stop-not-in-plan"
    title = "A stop is named that the plan does not have"

    def __init__(self) -> None:
        super().__init__("A new stop comes without stop_id; it is given one.")


class StopTwice(Invalid):
    slug = "stop-twice"
    title = "One stop stands twice in the plan"

    def __init__(self) -> None:
        super().__init__("A second visit is a stop of its own, without stop_id.")


class RouteCancelled(Conflict):
    slug = "route-cancelled"
    title = "This route was cancelled"


class RouteOver(Conflict):
    slug = "route-over"
    title = "The day of this route is over"


class RouteBegun(Conflict):
    slug = "route-begun"
    title = "This route has begun"

    def __init__(self) -> None:
        super().__init__("It can be cancelled, and stays with what is known of it.")


class RouteInUse(Conflict):
    slug = "route-in-use"
    title = "Something else leads to this route"

    def __init__(self) -> None:
        super().__init__(
            "A customer's link, a report, an alert or what a driver said. It can be cancelled."
        )
