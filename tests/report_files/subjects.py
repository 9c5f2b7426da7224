"""A report with one of everything, made up: its figures are known to the tests."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import cos, pi, sin
from typing import Any, Final
from uuid import UUID

from server.accounts.model import Locale
from server.report_files.model import Subject
from server.reports.model import Availability
from server.reports.wire import PlanFactView
from server.routes.model import Plan, Route, RouteHead, Stop

START: Final = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
"""08:00 in Almaty."""
ZONE: Final = "Asia/Almaty"
STATUSES: Final = (
    "visited",
    "visited",
    "visited",
    "visited",
    "missed",
    "unknown",
    "visited",
    "pending",
)
NAMES: Final = (
    "Қойма «Әуе Ңөұүһі»",
    '=HYPERLINK("http://evil.example","x")',
    "+7 701 000 00 00",
    '#eval(read("/etc/passwd"))',
    "https://evil.example/?a=1&b=2",
    "Склад «Рахат», проспект Абая, 10",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "Shop & Co <b>",
)
LATE_S: Final = (0, 750, -900, 30, None, None, 300, None)
"""Actual less planned arrival."""
QUALITY: Final = {
    "fixes": 2000,
    "used": 1990,
    "dropped": {"spike": 10},
    "median_step_s": 5.0,
    "sigma_m": 6.25,
    "gaps": 1,
    "coverage": 0.84,
}
TOTALS: Final = {
    "planned_m": 45_802.4,
    "actual_m": 31_250.0,
    "matched_m": 28_000.0,
    "gap_m": 9_100.0,
    "drive_s": 7_384.0,
    "service_s": 3_625.0,
    "wait_s": 0.0,
    "idle_s": 360.0,
    "on_time_rate": 0.5,
    "completion": 0.714,
    "order_score": 1.0,
    "compliance": 0.896,
}
HEX: Final = "00000000-0000-7000-8000-{:012x}"


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def circle(angle: float) -> tuple[float, float]:
    """Return a place on a round trip of some 50 km."""
    return (round(76.95 + 0.09 * sin(angle), 6), round(43.24 + 0.06 * cos(angle), 6))


def arc(begin: float, end: float, points: int = 40) -> list[tuple[float, float]]:
    step = (end - begin) / (points - 1)
    return [circle(begin + place * step) for place in range(points)]


def stops() -> tuple[Stop, ...]:
    places = [circle(place * pi / 4) for place in range(len(NAMES))]
    return tuple(
        Stop(
            stop_id=UUID(HEX.format(place)),
            name=name,
            lat=lat,
            lon=lon,
            radius_m=50.0,
            service_s=600.0,
            planned_arrival=minutes(30 * place),
            window_start=minutes(30 * place - 10) if place % 2 else None,
            window_end=minutes(30 * place + 10) if place % 2 else None,
        )
        for place, (name, (lon, lat)) in enumerate(zip(NAMES, places, strict=True))
    )


def stop_fact(place: int, stop: Stop) -> dict[str, Any]:
    late_s = LATE_S[place]
    arrived = None if late_s is None else minutes(30 * place) + timedelta(seconds=late_s)
    seen = arrived is not None
    window = "none"
    if seen and place % 2:
        window = "late" if late_s is not None and late_s > 600 else "on_time"
    return {
        "stop_id": stop.stop_id,
        "name": stop.name,
        "planned_sequence": place,
        "actual_sequence": sum(one is not None for one in LATE_S[:place]) if seen else None,
        "status": STATUSES[place],
        "confidence": 0.9 if seen else 0.5,
        "planned_arrival": stop.planned_arrival,
        "window_start": stop.window_start,
        "window_end": stop.window_end,
        "entered_at": arrived,
        "arrived_at": arrived,
        "departed_at": arrived + timedelta(minutes=12) if arrived else None,
        "exited_at": arrived + timedelta(minutes=12) if arrived else None,
        "tapped_at": minutes(125) if place == 4 else None,
        "arrival_uncertainty_s": 7.5 if seen else None,
        "window_status": window,
        "early_s": None,
        "late_s": 150.0 if window == "late" else None,
        "wait_s": 0.0 if seen else None,
        "service_s": 725.0 if seen else None,
        "service_delta_s": 125.0 if seen else None,
        "distance_m": 12.4 if seen else None,
        "evidence": "stay" if seen else None,
        "unknown_reason": "not_recorded" if STATUSES[place] == "unknown" else None,
    }


def leg(place: int) -> dict[str, Any]:
    known = LATE_S[place] is not None and LATE_S[place + 1] is not None
    return {
        "planned_m": 6543.2,
        "actual_m": 6789.4 if known else None,
        "method": "gps" if known else None,
        "planned_s": 1200.0,
        "actual_s": 1260.0 if known else None,
        "moving_s": 1000.0 if known else None,
        "idle_s": 260.0 if known else None,
    }


def stretch(begin: float, end: float, line: list[tuple[float, float]]) -> dict[str, Any]:
    return {"from_at": minutes(begin), "to_at": minutes(end), "line": line}


def live() -> dict[str, Any]:
    return {
        "along_m": 37_000.0,
        "length_m": 45_802.4,
        "deviation_s": 300.0,
        "next_stop": 7,
        "eta": [
            {
                "planned_sequence": 7,
                "p10_at": minutes(212),
                "p50_at": minutes(216),
                "p90_at": minutes(224),
            }
        ],
    }


def report_of(planned: tuple[Stop, ...]) -> PlanFactView:
    detour = [(76.99, 43.285), (77.015, 43.29), (77.02, 43.27)]
    facts = [stop_fact(place, stop) for place, stop in enumerate(planned)]
    view: dict[str, Any] = {
        "version": 1,
        "state": "live",
        "route_id": UUID(HEX.format(99)),
        "plan_version": 2,
        "algorithm_version": "1.0",
        "parameters": {"gap_s": 120.0, "stay_min_s": 50.0},
        "computed_at": minutes(200),
        "until": minutes(200),
        "display_time_zone": ZONE,
        "availability": "full",
        "quality": QUALITY,
        "stops": facts,
        "unplanned": [
            {
                "lat": 43.2,
                "lon": 77.02,
                "from_at": minutes(80),
                "to_at": minutes(86),
                "dwell_s": 360.0,
            }
        ],
        "legs": [leg(place) for place in range(len(planned) - 1)],
        "deviations": [
            {"kind": "off_corridor", "length_m": 3456.7, "max_m": 812.3, **stretch(18, 26, detour)}
        ],
        "speeding": [
            {"length_m": 900.0, "max_mps": 25.0, "limit_mps": 22.2, **stretch(40, 41, detour)}
        ],
        "totals": TOTALS,
        "live": live(),
        "fact": {
            "segments": [
                stretch(-2, 20, [*arc(0, 0.6), detour[0], detour[1]]),
                stretch(20.5, 110, [*detour[1:], *arc(1.1, 2.9)]),
                stretch(172, 200, arc(4.3, 5.2)),
            ]
        },
    }
    return PlanFactView.model_validate(view, strict=False)


def route_of(planned: tuple[Stop, ...], *, line: bool = True) -> Route:
    head = RouteHead(
        route_id=UUID(HEX.format(99)),
        date=date(2026, 11, 22),
        starts_at=START,
        ends_at=minutes(240),
        driver_id=UUID(HEX.format(77)),
        vehicle_id=None,
        plan_version=2,
        stop_count=len(planned),
        planned_m=45_802.4,
    )
    plan = Plan(stops=planned, line=tuple(arc(0, 2 * pi * 7 / 8, 200)) if line else None)
    return Route(head=head, name="R-1042", plan=plan)


def subject(language: Locale = Locale.EN, *, line: bool = True) -> Subject:
    planned = stops()
    return Subject(
        report=report_of(planned),
        route=route_of(planned, line=line),
        company="Aral Freight",
        language=language,
    )


def changed(base: Subject, **members: Any) -> Subject:
    """Return it with other members of its report."""
    return replace(base, report=base.report.model_copy(update=members))


def set_back(language: Locale = Locale.EN) -> Subject:
    """Return a night in Berlin in which the clock shows the hour from two to three twice.

    The first two stops are reached at half past two by the clock, an hour apart.
    """
    base = subject(language)
    midnight = datetime(2026, 10, 25, tzinfo=UTC)
    facts = [
        fact.model_copy(
            update={
                **dict.fromkeys(("window_start", "window_end", "departed_at", "tapped_at")),
                "planned_arrival": planned,
                "arrived_at": None if fact.arrived_at is None else planned,
            }
        )
        for place, fact in enumerate(base.report.stops)
        for planned in (midnight + timedelta(hours=place, minutes=30),)
    ]
    head = replace(
        base.route.head,
        date=midnight.date(),
        starts_at=midnight,
        ends_at=midnight + timedelta(hours=8),
    )
    told = changed(
        base,
        stops=facts,
        display_time_zone="Europe/Berlin",
        unplanned=[],
        deviations=[],
        speeding=[],
        fact=base.report.fact.model_copy(update={"segments": []}),
        live=base.report.live.model_copy(update={"eta": []}),
    )
    return replace(told, route=replace(told.route, head=head))


def many(count: int, language: Locale = Locale.EN) -> Subject:
    """Return a subject with so many stops, all of them like the first ones."""
    few = subject(language)
    stops_ = [few.route.plan.stops[place % len(NAMES)] for place in range(count)]
    facts = [
        few.report.stops[place % len(NAMES)].model_copy(update={"planned_sequence": place})
        for place in range(count)
    ]
    route = replace(few.route, plan=replace(few.route.plan, stops=tuple(stops_)))
    legs = [few.report.legs[0]] * (count - 1)
    report = few.report.model_copy(update={"stops": facts, "legs": legs})
    return replace(few, route=route, report=report)


def without_fact(base: Subject, availability: str = "not_shared") -> Subject:
    """Return it as it is where the driver shares nothing: the plan, and nothing else."""

    bare = {
        "actual_sequence": None,
        "status": "unknown",
        "window_status": "none",
        **dict.fromkeys(
            (
                "entered_at",
                "arrived_at",
                "departed_at",
                "exited_at",
                "arrival_uncertainty_s",
                "late_s",
                "wait_s",
                "service_s",
                "service_delta_s",
                "distance_m",
                "evidence",
            )
        ),
    }
    report = base.report
    unmeasured = ("actual_m", "matched_m", "gap_m", "drive_s", "service_s", "wait_s", "idle_s")
    rates = ("on_time_rate", "completion", "order_score", "compliance")
    totals = {**dict.fromkeys(unmeasured, 0.0), **dict.fromkeys(rates)}
    nothing = {"fixes": 0, "used": 0, "dropped": {}, "gaps": 0}
    return changed(
        base,
        availability=Availability(availability),
        stops=[stop.model_copy(update=bare) for stop in report.stops],
        legs=[
            one.model_copy(
                update=dict.fromkeys(("actual_m", "method", "actual_s", "moving_s", "idle_s"))
            )
            for one in report.legs
        ],
        unplanned=[],
        deviations=[],
        speeding=[],
        live=report.live.model_copy(update={"eta": []}),
        totals=report.totals.model_copy(update=totals),
        quality=report.quality.model_copy(
            update={**nothing, **dict.fromkeys(("median_step_s", "sigma_m", "coverage"))}
        ),
        fact=report.fact.model_copy(update={"segments": []}),
    )
