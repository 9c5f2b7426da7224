"""What the sheets of a report hold, as typed cells: one truth for XLSX, CSV and PDF. Pure.

Cells are in base units (metres, seconds, m/s, UTC); whoever writes them gives them their form.
None is not known, and is never written as 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, TypeAlias

from server.report_files.model import MINUTE_S, Assessment, Subject, assess, counts, is_poor
from server.report_files.words import KM_M, NONE, Words
from server.reports.model import KMH_PER_MPS, Availability
from server.reports.wire import (
    DeviationView,
    EtaView,
    SpeedingView,
    StopFactView,
    UnplannedView,
)
from server.routes.model import Stop

Value: TypeAlias = str | int | float | datetime | None


class Kind(Enum):
    """What a cell holds, and in which unit."""

    TEXT = auto()
    COUNT = auto()
    NUMBER = auto()
    """To a tenth."""
    KM = auto()
    """Metres, shown as kilometres."""
    METRES = auto()
    MOMENT = auto()
    DURATION = auto()
    """Seconds, shown as hours and minutes."""
    MINUTES = auto()
    """Whole ones, with their sign."""
    RATIO = auto()
    """0 to 1, shown as per cent."""
    SCORE = auto()
    """0 to 1, shown so."""
    DEGREES = auto()
    SPEED = auto()
    """m/s, shown as km/h."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    width: int
    """In digits."""


@dataclass(frozen=True, slots=True)
class Row:
    values: tuple[Value, ...]
    tone: str | None = None
    """What is worth seeing in it: late, early, missed, unknown."""


@dataclass(frozen=True, slots=True)
class Table:
    sheet: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A figure with its name."""

    label: str
    kind: Kind
    value: Value


ON_PAPER: Final[Mapping[Kind, tuple[float, int, str]]] = {
    Kind.KM: (1 / KM_M, 1, ""),
    Kind.RATIO: (100.0, 0, " %"),
    Kind.SCORE: (1.0, 2, ""),
    Kind.DEGREES: (1.0, 5, ""),
    Kind.SPEED: (KMH_PER_MPS, 0, ""),
    Kind.NUMBER: (1.0, 1, ""),
}
"""What a figure is multiplied by, its decimals, and what stands after it."""
NOTES: Final = ("not_known", "gaps", "difference")
STOP_COLUMNS: Final = (
    Column("number", Kind.COUNT, 5),
    Column("actual_number", Kind.COUNT, 8),
    Column("stop", Kind.TEXT, 34),
    Column("status", Kind.TEXT, 15),
    Column("window_start", Kind.MOMENT, 16),
    Column("window_end", Kind.MOMENT, 16),
    Column("planned_arrival", Kind.MOMENT, 16),
    Column("arrived_at", Kind.MOMENT, 16),
    Column("uncertainty", Kind.NUMBER, 7),
    Column("difference", Kind.MINUTES, 11),
    Column("assessment", Kind.TEXT, 14),
    Column("window_status", Kind.TEXT, 14),
    Column("departed_at", Kind.MOMENT, 16),
    Column("service_planned", Kind.DURATION, 15),
    Column("service", Kind.DURATION, 15),
    Column("service_delta", Kind.MINUTES, 15),
    Column("wait", Kind.DURATION, 12),
    Column("distance", Kind.METRES, 13),
    Column("evidence", Kind.TEXT, 18),
    Column("unknown_reason", Kind.TEXT, 34),
    Column("confidence", Kind.SCORE, 14),
    Column("tapped_at", Kind.MOMENT, 16),
    Column("expected_at", Kind.MOMENT, 16),
    Column("expected_from", Kind.MOMENT, 16),
    Column("expected_to", Kind.MOMENT, 16),
    Column("lat", Kind.DEGREES, 11),
    Column("lon", Kind.DEGREES, 11),
)
LEG_COLUMNS: Final = (
    Column("number", Kind.COUNT, 5),
    Column("from_stop", Kind.TEXT, 34),
    Column("to_stop", Kind.TEXT, 34),
    Column("planned_km", Kind.KM, 10),
    Column("actual_km", Kind.KM, 10),
    Column("method", Kind.TEXT, 22),
    Column("planned_time", Kind.DURATION, 12),
    Column("actual_time", Kind.DURATION, 12),
    Column("moving", Kind.DURATION, 12),
    Column("idle", Kind.DURATION, 12),
)
DEVIATION_COLUMNS: Final = (
    Column("kind", Kind.TEXT, 30),
    Column("from", Kind.MOMENT, 16),
    Column("to", Kind.MOMENT, 16),
    Column("duration", Kind.DURATION, 12),
    Column("length_km", Kind.KM, 10),
    Column("max_m", Kind.METRES, 12),
    Column("max_kmh", Kind.SPEED, 12),
    Column("limit_kmh", Kind.SPEED, 12),
    Column("lat", Kind.DEGREES, 11),
    Column("lon", Kind.DEGREES, 11),
)


def assessed(found: Assessment, words: Words) -> str:
    """Return ``+12 late``: the difference with its word."""
    if found.kind is None or found.minutes is None:
        return NONE
    return words[f"difference.{found.kind}"].format(n=words.signed(found.minutes))


def stops(subject: Subject, words: Words) -> Table:
    expected = {one.planned_sequence: one for one in subject.report.live.eta}
    rows = [
        _stop_row(fact, stop, expected.get(fact.planned_sequence), words)
        for fact, stop in zip(subject.report.stops, subject.route.plan.stops, strict=True)
    ]
    return Table("stops", STOP_COLUMNS, tuple(rows))


def _stop_row(fact: StopFactView, stop: Stop, eta: EtaView | None, words: Words) -> Row:
    found = assess(fact)
    tone = found.kind if found.kind in ("late", "early") else None
    values = (
        fact.planned_sequence + 1,
        None if fact.actual_sequence is None else fact.actual_sequence + 1,
        fact.name,
        words.named("status", fact.status),
        fact.window_start,
        fact.window_end,
        fact.planned_arrival,
        fact.arrived_at,
        _minutes_exact(fact.arrival_uncertainty_s),
        found.minutes,
        words.named("assessment", found.kind),
        _against_window(fact, words),
        fact.departed_at,
        stop.service_s or None,  # 0 is none planned
        fact.service_s,
        _minutes(fact.service_delta_s),
        fact.wait_s,
        fact.distance_m,
        words.named("evidence", fact.evidence),
        words.named("unknown_reason", fact.unknown_reason),
        fact.confidence,
        fact.tapped_at,
        *((None,) * 3 if eta is None else (eta.p50_at, eta.p10_at, eta.p90_at)),
        stop.lat,
        stop.lon,
    )
    return Row(values, tone=fact.status if fact.status in ("missed", "unknown") else tone)


def _against_window(fact: StopFactView, words: Words) -> str:
    """Return what an arrival was to its window; without an arrival that is not known."""
    has_window = fact.window_start is not None or fact.window_end is not None
    if has_window and fact.window_status == "none":
        return NONE
    return words.named("window", fact.window_status)


def legs(subject: Subject, words: Words) -> Table:
    names = [f"{stop.planned_sequence + 1}. {stop.name}" for stop in subject.report.stops]
    rows = [
        Row(
            (
                number + 1,
                here,
                there,
                leg.planned_m,
                leg.actual_m,
                words.named("method", leg.method),
                leg.planned_s,
                leg.actual_s,
                leg.moving_s,
                leg.idle_s,
            )
        )
        for number, (leg, here, there) in enumerate(
            zip(subject.report.legs, names[:-1], names[1:], strict=True)
        )
    ]
    return Table("legs", LEG_COLUMNS, tuple(rows))


def deviations(subject: Subject, words: Words) -> Table:
    """Return what was not planned, oldest first: off the line, too fast, and stays at no stop."""
    report = subject.report
    rows = [
        *(_deviation(one, words) for one in report.deviations),
        *(_speeding(one, words) for one in report.speeding),
        *(_unplanned(one, words) for one in report.unplanned),
    ]
    rows.sort(key=lambda values: str(values[1]))
    return Table("deviations", DEVIATION_COLUMNS, tuple(Row(values) for values in rows))


def _deviation(one: DeviationView, words: Words) -> tuple[Value, ...]:
    times = (one.from_at, one.to_at, _lasted_s(one))
    kind = words.named("kind", one.kind)
    return (kind, *times, one.length_m, one.max_m, None, None, *_first(one.line))


def _speeding(one: SpeedingView, words: Words) -> tuple[Value, ...]:
    times, speeds = (one.from_at, one.to_at, _lasted_s(one)), (one.max_mps, one.limit_mps)
    return (words["kind.speeding"], *times, one.length_m, None, *speeds, *_first(one.line))


def _unplanned(one: UnplannedView, words: Words) -> tuple[Value, ...]:
    times = (one.from_at, one.to_at, one.dwell_s)
    return (words["kind.unplanned"], *times, None, None, None, None, one.lat, one.lon)


def _lasted_s(found: DeviationView | SpeedingView) -> float:
    return (found.to_at - found.from_at).total_seconds()


def _first(line: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Return latitude and longitude of where it began."""
    lon, lat = line[0] if line else (None, None)
    return lat, lon


def head(subject: Subject, words: Words) -> list[Line]:
    """Return what the report is of."""
    report, route = subject.report, subject.route.head
    texts = {
        "company": subject.company,
        "route": subject.route.name,
        "date": f"{route.date:%d.%m.%Y}",
        "zone": zone_of(subject, words),
        "plan_version": str(report.plan_version),
        "computed_at": words.moment(report.computed_at),
        "state": words.named("state", report.state.value),
        "availability": words.named("availability", report.availability.value),
    }
    return [Line(words[f"head.{name}"], Kind.TEXT, text) for name, text in texts.items()]


def zone_of(subject: Subject, words: Words) -> str:
    """Return the zone's name and how far it is from UTC at the times of the report."""
    return f"{subject.report.display_time_zone} ({' / '.join(offsets(subject, words))})"


def offsets(subject: Subject, words: Words) -> tuple[str, ...]:
    """Return how far the zone is from UTC: two where its clock is changed meanwhile."""
    route = subject.route.head
    last = max(route.starts_at, route.ends_at - timedelta(seconds=1))
    told = [value for table in every(subject, words) for row in table.rows for value in row.values]
    return words.offsets([route.starts_at, last, *(at for at in told if isinstance(at, datetime))])


def figures(subject: Subject, words: Words) -> list[Line]:
    """Return the sums; what was measured is not known where nothing could be."""
    report, found = subject.report, counts(subject.report)
    totals, full = report.totals, report.availability is Availability.FULL
    on_time = words["short.of"].format(n=found["on_time"], all=found["judged"])
    named: list[tuple[str, Kind, Value]] = [
        ("stops", Kind.COUNT, len(report.stops)),
        ("visited", Kind.COUNT, found["visited"] if full else None),
        ("missed", Kind.COUNT, found["missed"] if full else None),
        ("unknown", Kind.COUNT, found["unknown"]),
        ("pending", Kind.COUNT, found["pending"]),
        ("on_time", Kind.TEXT, on_time if found["judged"] else None),
        ("late", Kind.COUNT, found["late"] if full else None),
        ("early", Kind.COUNT, found["early"] if full else None),
        ("on_time_rate", Kind.RATIO, totals.on_time_rate),
        ("completion", Kind.RATIO, totals.completion if full else None),
        ("order_score", Kind.RATIO, totals.order_score),
        ("compliance", Kind.RATIO, totals.compliance),
        ("planned_km", Kind.KM, totals.planned_m),
        ("actual_km", Kind.KM, totals.actual_m if full else None),
        ("matched_km", Kind.KM, totals.matched_m if full else None),
        ("gap_km", Kind.KM, totals.gap_m if full else None),
        ("drive", Kind.DURATION, totals.drive_s if full else None),
        ("service", Kind.DURATION, totals.service_s if full else None),
        ("wait", Kind.DURATION, totals.wait_s if full else None),
        ("idle", Kind.DURATION, totals.idle_s if full else None),
        ("unplanned", Kind.COUNT, len(report.unplanned) if full else None),
        ("deviations", Kind.COUNT, len(report.deviations) if full else None),
    ]
    return [Line(words[f"figure.{name}"], kind, value) for name, kind, value in named]


def quality(subject: Subject, words: Words) -> list[Line]:
    """Return what the report rests on, and by which rules it was made."""
    report = subject.report
    found, known = report.quality, report.availability is not Availability.NOT_SHARED
    lines = [
        Line(words["figure.fixes"], Kind.COUNT, found.fixes if known else None),
        Line(words["figure.used"], Kind.COUNT, found.used if known else None),
    ]
    for reason, count in sorted(found.dropped.items()):
        label = words["figure.dropped"].format(reason=words.named("dropped", reason))
        lines.append(Line(label, Kind.COUNT, count))
    lines += [
        Line(words["figure.median_step"], Kind.NUMBER, found.median_step_s),
        Line(words["figure.sigma"], Kind.NUMBER, found.sigma_m),
        Line(words["figure.gaps"], Kind.COUNT, found.gaps if known else None),
        Line(words["figure.coverage"], Kind.RATIO, found.coverage),
        Line(words["head.algorithm"], Kind.TEXT, report.algorithm_version),
        Line(words["head.report_version"], Kind.TEXT, str(report.version)),
    ]
    for name, value in sorted(report.parameters.items()):
        label = words["figure.parameter"].format(name=name)
        lines.append(Line(label, Kind.TEXT, NONE if value is None else f"{value:g}"))
    return lines


def notes(subject: Subject, words: Words) -> list[str]:
    """Return what has to be known to read it."""
    poor = ("poor",) if is_poor(subject.report) else ()
    return [words[f"note.{name}"] for name in (*poor, *NOTES)]


def shown(kind: Kind, value: Value, words: Words) -> str:
    """Return a cell as people read it on paper."""
    match value:
        case None:
            return NONE
        case str():
            return value
        case datetime():
            return words.moment(value)
    match kind:
        case Kind.DURATION:
            return "<0:01" if 0 < value < MINUTE_S else words.duration(value)
        case Kind.MINUTES:
            return words.signed(int(value))
    scale, decimals, unit = ON_PAPER.get(kind, (1.0, 0, ""))
    return f"{words.number(value * scale, decimals)}{unit}"


def _minutes(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds / MINUTE_S)


def _minutes_exact(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / MINUTE_S


def every(subject: Subject, words: Words) -> Sequence[Table]:
    """Return the sheets that are tables, in their order."""
    return (stops(subject, words), legs(subject, words), deviations(subject, words))
