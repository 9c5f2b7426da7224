"""The PlanFactReport on the wire: version 1. None = not known, never 0.

Final reports are stored as this, for a year: what is added to it later needs a default.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import Field

from geo.plan_fact import ALGORITHM_VERSION
from geo.report import Deviation, PlanFact, Progress, Speeding, StopFact, UnplannedStay
from geo.types import Floats
from server.kit.wire import Instant, Wire
from server.reports.model import Availability, PlanFactReport, State
from server.routes.model import Stop

REPORT_VERSION: Final = 1
COORDINATE_DECIMALS: Final = 6

Points = list[tuple[float, float]]


class QualityView(Wire):
    fixes: int
    used: int
    dropped: dict[str, int]
    median_step_s: float | None
    sigma_m: float | None
    gaps: int
    coverage: float | None


class StopFactView(Wire):
    stop_id: UUID
    name: str
    planned_sequence: int
    actual_sequence: int | None
    status: str
    unknown_reason: str | None = Field(
        default=None, description="Why the data do not know it; absent in reports before 2.2."
    )
    confidence: float
    planned_arrival: Instant | None
    window_start: Instant | None
    window_end: Instant | None
    entered_at: Instant | None
    arrived_at: Instant | None
    departed_at: Instant | None
    exited_at: Instant | None
    tapped_at: Instant | None = Field(description="When the driver said that it was done.")
    arrival_uncertainty_s: float | None
    window_status: str
    early_s: float | None
    late_s: float | None
    wait_s: float | None
    service_s: float | None
    service_delta_s: float | None
    distance_m: float | None
    evidence: str | None


class UnplannedView(Wire):
    lat: float
    lon: float
    from_at: Instant = Field(alias="from")
    to_at: Instant = Field(alias="to")
    dwell_s: float


class LegView(Wire):
    planned_m: float
    actual_m: float | None
    method: str | None
    planned_s: float | None
    actual_s: float | None
    moving_s: float | None
    idle_s: float | None


class DeviationView(Wire):
    kind: str
    from_at: Instant = Field(alias="from")
    to_at: Instant = Field(alias="to")
    length_m: float
    max_m: float
    line: Points


class SpeedingView(Wire):
    from_at: Instant = Field(alias="from")
    to_at: Instant = Field(alias="to")
    length_m: float
    max_mps: float
    limit_mps: float
    line: Points


class TotalsView(Wire):
    planned_m: float
    actual_m: float
    matched_m: float
    gap_m: float
    drive_s: float
    service_s: float
    wait_s: float
    idle_s: float
    on_time_rate: float | None
    completion: float | None
    order_score: float | None
    compliance: float | None


class EtaView(Wire):
    """When a stop will be reached: earlier than `p10_at` in one case of ten."""

    planned_sequence: int
    p10_at: Instant
    p50_at: Instant
    p90_at: Instant


class LiveView(Wire):
    """Where the vehicle was at its last position; `deviation_s` > 0 is behind the schedule."""

    along_m: float | None
    length_m: float
    deviation_s: float | None
    next_stop: int | None
    eta: list[EtaView]


class SegmentView(Wire):
    from_at: Instant = Field(alias="from")
    to_at: Instant = Field(alias="to")
    line: Points


class FactView(Wire):
    segments: list[SegmentView]


class PlanFactView(Wire):
    version: int
    state: State = Field(description="`final`: nothing can be added to the track any more.")
    route_id: UUID
    plan_version: int
    algorithm_version: str
    parameters: dict[str, float | None]
    computed_at: Instant
    until: Instant = Field(description="What was recorded from then on is not in it.")
    display_time_zone: str
    availability: Availability
    quality: QualityView
    stops: list[StopFactView]
    unplanned: list[UnplannedView]
    legs: list[LegView]
    deviations: list[DeviationView]
    speeding: list[SpeedingView]
    totals: TotalsView
    live: LiveView
    fact: FactView


def rendered(report: PlanFactReport) -> PlanFactView:
    """Return the report as it goes over the wire."""
    head, fact = report.route.head, report.fact
    return PlanFactView(
        version=REPORT_VERSION,
        state=report.state,
        route_id=head.route_id,
        plan_version=head.plan_version,
        algorithm_version=ALGORITHM_VERSION,
        parameters=asdict(report.parameters),
        computed_at=report.computed_at,
        until=report.until,
        display_time_zone=report.time_zone,
        availability=report.availability,
        quality=QualityView(**_rounded(asdict(fact.quality))),
        stops=[
            _stop(stop, found)
            for stop, found in zip(report.route.plan.stops, fact.stops, strict=True)
        ],
        unplanned=[_unplanned(stay) for stay in fact.unplanned],
        legs=[LegView(**_rounded(asdict(leg))) for leg in fact.legs],
        deviations=[_deviation(found) for found in fact.deviations],
        speeding=[_speeding(found) for found in fact.speeding],
        totals=_totals(fact),
        live=_live(fact.progress),
        fact=FactView(
            segments=[
                SegmentView(
                    from_at=_instant(line.from_s),
                    to_at=_instant(line.to_s),
                    line=_points(line.lon_lat),
                )
                for line in report.driven
            ]
        ),
    )


def _totals(fact: PlanFact) -> TotalsView:
    return TotalsView(**_rounded(asdict(fact.totals)))


def _stop(stop: Stop, found: StopFact) -> StopFactView:
    plain = _rounded(asdict(found))
    for name in ("entered", "arrived", "departed", "exited", "tapped"):
        plain[f"{name}_at"] = _instant_or_none(plain.pop(f"{name}_s"))
    return StopFactView(
        stop_id=stop.stop_id,
        name=stop.name,
        planned_arrival=stop.planned_arrival,
        window_start=stop.window_start,
        window_end=stop.window_end,
        **plain,
    )


def _unplanned(stay: UnplannedStay) -> UnplannedView:
    return UnplannedView(
        lat=round(stay.lat, COORDINATE_DECIMALS),
        lon=round(stay.lon, COORDINATE_DECIMALS),
        from_at=_instant(stay.from_s),
        to_at=_instant(stay.to_s),
        dwell_s=round(stay.dwell_s, 1),
    )


def _deviation(found: Deviation) -> DeviationView:
    return DeviationView(
        kind=found.kind,
        from_at=_instant(found.from_s),
        to_at=_instant(found.to_s),
        length_m=round(found.length_m, 1),
        max_m=round(found.max_m, 1),
        line=_points(found.lon_lat),
    )


def _speeding(found: Speeding) -> SpeedingView:
    return SpeedingView(
        from_at=_instant(found.from_s),
        to_at=_instant(found.to_s),
        length_m=round(found.length_m, 1),
        max_mps=round(found.max_mps, 1),
        limit_mps=round(found.limit_mps, 1),
        line=_points(found.lon_lat),
    )


def _live(found: Progress) -> LiveView:
    plain = _rounded(asdict(found))
    plain["eta"] = [
        EtaView(
            planned_sequence=one.planned_sequence,
            p10_at=_instant(one.p10_s),
            p50_at=_instant(one.p50_s),
            p90_at=_instant(one.p90_s),
        )
        for one in found.eta
    ]
    return LiveView(**plain)


def _points(lon_lat: Floats) -> Points:
    return [
        (round(float(lon), COORDINATE_DECIMALS), round(float(lat), COORDINATE_DECIMALS))
        for lon, lat in lon_lat
    ]


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Cut metres and seconds to a tenth and ratios to a thousandth: no false precision."""
    return {
        name: round(float(value), 1 if name.endswith(("_m", "_s")) else 3)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }


def _instant(unix_s: float) -> datetime:
    return datetime.fromtimestamp(round(unix_s), UTC)


def _instant_or_none(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else _instant(unix_s)
