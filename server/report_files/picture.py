"""The map and the timeline of a report, drawn as SVG with its own figures only. Pure.

Shapes tell states apart before colours do: they have to be read on grey paper as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import cos, dist, floor, log10, radians
from typing import Final

import numpy as np
import shapely

from geo.types import Floats
from server.kit.svg import PAPER, XY, Drawing
from server.report_files.lines import planned_line
from server.report_files.model import Subject, assess, halts
from server.report_files.words import Words
from server.reports.model import Availability

FONT: Final = "DejaVu Sans"
INK: Final = "#1B2A38"
GREY: Final = "#6B7280"
FAINT: Final = "#E4E8EC"
BLUE: Final = "#1769AA"
ORANGE: Final = "#C8500A"
RED: Final = "#B3261E"
LAND: Final = "#F7F8F9"

MAP_SIZE: Final = (500.0, 306.0)
MARGIN: Final = 26.0
DEGREE_M: Final = 111_195.0
EXTENT_M_MIN: Final = 400.0
"""A plan of one place is not blown up until its radius fills the paper."""
TOLERANCE: Final = 0.25
"""Points: no line is drawn farther from where it runs."""
NUMBERED_MAX: Final = 120
"""Of more stops than that only their places are drawn: numbers would cover each other."""
FLAGGED_MAX: Final = 60
IN_A_ROW: Final = 6
ARROW_EVERY: Final = 80.0


@dataclass(frozen=True, slots=True)
class _View:
    """Where places lie on the map: equirectangular around the middle of all of them."""

    lon_0: float
    middle: XY
    shrink: float
    """Metres of a degree of longitude, by those of latitude."""
    scale: float
    """Points a metre."""

    @classmethod
    def of(cls, points: Floats) -> "_View":
        lon_0 = float(points[0, 0])
        lon, lat = _unwrapped(points[:, 0], lon_0), points[:, 1]
        shrink = max(cos(radians(float(lat.min() + lat.max()) / 2)), 0.01)
        width = max(float(np.ptp(lon)) * shrink * DEGREE_M, EXTENT_M_MIN)
        height = max(float(np.ptp(lat)) * DEGREE_M, EXTENT_M_MIN)
        room = [size - 2 * MARGIN for size in MAP_SIZE]
        middle = (float(lon.min() + lon.max()) / 2, float(lat.min() + lat.max()) / 2)
        return cls(lon_0, middle, shrink, min(room[0] / width, room[1] / height))

    def at(self, points: Iterable[tuple[float, float]]) -> list[XY]:
        place = np.array(list(points), dtype=np.float64).reshape(-1, 2)
        unit = DEGREE_M * self.scale
        x = (_unwrapped(place[:, 0], self.lon_0) - self.middle[0]) * self.shrink * unit
        y = (self.middle[1] - place[:, 1]) * unit
        return [(MAP_SIZE[0] / 2 + a, MAP_SIZE[1] / 2 + b) for a, b in zip(x, y, strict=True)]

    def line(self, points: Iterable[tuple[float, float]]) -> list[XY]:
        """Return a line with as many vertices as can be seen."""
        found = self.at(points)
        if len(found) < 2:  # noqa: PLR2004 - a line has two ends
            return []
        thin = shapely.simplify(shapely.LineString(found), TOLERANCE, preserve_topology=False)
        return [(x, y) for x, y in shapely.get_coordinates(thin).tolist()]


def _unwrapped(lon: Floats, lon_0: float) -> Floats:
    """Return longitudes that go on across the antimeridian."""
    return np.asarray((lon - lon_0 + 540.0) % 360.0 - 180.0 + lon_0)


def street(subject: Subject, words: Words) -> str:
    """Draw the map: the planned line hollow, what was driven inside it, the stops upon it."""
    report, plan = subject.report, planned_line(subject)
    segments = [segment.line for segment in report.fact.segments]
    places = [*plan, *((stop.lon, stop.lat) for stop in subject.route.plan.stops)]
    places += [point for line in segments for point in line]
    places += [(stay.lon, stay.lat) for stay in report.unplanned]
    view, drawing = _View.of(np.array(places)), Drawing(*MAP_SIZE, font=FONT)
    grid_m = _grid(drawing, view)
    if subject.route.plan.line is None:
        drawing.line(view.line(plan), GREY, 1.0, stroke_dasharray="5 3")
    else:
        rails = view.line(plan)
        drawing.line(rails, GREY, 5.6)
        drawing.line(rails, PAPER, 4.0)
    for segment in segments:
        _driven(drawing, view.line(segment))
    for one in report.deviations:
        line = view.line(one.line)
        drawing.line(line, PAPER, 4.2)
        drawing.line(line, ORANGE, 2.0, stroke_dasharray="5 3")
    for place in view.at((stay.lon, stay.lat) for stay in report.unplanned):
        square(drawing, place)
    _stops(drawing, subject, view, words)
    _scale(drawing, view, grid_m, words)
    if report.availability is not Availability.FULL:
        told = words.named("availability", report.availability.value)
        drawing.text((10, 16), told, RED, on_lines=True, font_size=9.0, text_anchor="start")
    width, height = (size - 0.8 for size in MAP_SIZE)
    drawing.add("rect", x=0.4, y=0.4, width=width, height=height, fill="none", stroke=GREY,
                stroke_width=0.8)  # fmt: skip
    return drawing.svg()


def _grid(drawing: Drawing, view: _View) -> float:
    """Draw a grid of round metres; return how many."""
    width, height = MAP_SIZE
    drawing.add("rect", x=0, y=0, width=width, height=height, fill=LAND)
    step_m = _round_below(90.0 / view.scale)
    step = step_m * view.scale
    for size, across in ((width, False), (height, True)):
        first = (size / 2) % step
        for number in range(int((size - first) / step) + 1):
            at = first + number * step
            ends = [(0.0, at), (width, at)] if across else [(at, 0.0), (at, height)]
            drawing.line(ends, FAINT, 0.6)
    return step_m


def _round_below(metres: float) -> float:
    """Return 1, 2 or 5 times a power of ten, no more than that."""
    power = 10.0 ** floor(log10(metres))
    return max((step * power for step in (2.0, 5.0) if step * power <= metres), default=power)


def _driven(drawing: Drawing, line: list[XY]) -> None:
    drawing.line(line, BLUE, 1.9)
    if len(line) < 2:  # noqa: PLR2004 - a line has two ends
        return
    shape = shapely.LineString(line)
    for along in np.arange(ARROW_EVERY / 2, shape.length, ARROW_EVERY):
        here, there = shape.interpolate(along - 1.5), shape.interpolate(along + 1.5)
        x, y = there.x - here.x, there.y - here.y
        length = float(np.hypot(x, y))
        if length > 0:
            x, y = x / length, y / length
            tip = (there.x + 2.5 * x, there.y + 2.5 * y)
            wings = [(here.x - side * 2.6 * y, here.y + side * 2.6 * x) for side in (1, -1)]
            points = " ".join(f"{a:.2f},{b:.2f}" for a, b in (tip, *wings))
            drawing.add("polygon", points=points, fill=BLUE, stroke=PAPER, stroke_width=0.5)


def _stops(drawing: Drawing, subject: Subject, view: _View, words: Words) -> None:
    """Draw the stops; those that would cover each other stand side by side."""
    facts = subject.report.stops
    radius = 6.2 if len(facts) <= FLAGGED_MAX else 4.6 if len(facts) <= NUMBERED_MAX else 2.4
    near = radius * 1.6 if len(facts) <= NUMBERED_MAX else 0.0
    groups: list[tuple[XY, list[int]]] = []
    places = view.at((stop.lon, stop.lat) for stop in subject.route.plan.stops)
    for number, here in enumerate(places):
        group = next((one for one in groups if dist(one[0], here) < near), None)
        if group is None:
            groups.append((here, [number]))
        else:
            group[1].append(number)
    for here, numbers in groups:
        for at, number in zip(_side_by_side(here, len(numbers), radius), numbers, strict=True):
            shown = str(number + 1) if len(facts) <= NUMBERED_MAX else ""
            mark(drawing, at, radius, facts[number].status, shown)
            found = assess(facts[number])
            if len(facts) <= FLAGGED_MAX and found.kind in ("late", "early") and found.minutes:
                colour = RED if found.kind == "late" else BLUE
                flag = words.signed(found.minutes)
                drawing.text(
                    (at[0], at[1] - radius - 2.5), flag, colour, on_lines=True, font_weight="bold"
                )


def _side_by_side(here: XY, count: int, radius: float) -> list[XY]:
    """Return places in rows, the first row around ``here``."""
    x, y = here
    left = x - (min(count, IN_A_ROW) - 1) * radius
    return [
        (left + 2 * radius * (place % IN_A_ROW), y + 2 * radius * (place // IN_A_ROW))
        for place in range(count)
    ]


def mark(drawing: Drawing, at: XY, radius: float, status: str, text: str) -> None:
    """Draw a stop: filled where it was visited; hollow with a sign where missed or unknown."""
    x, y = at
    colour = {"visited": INK, "missed": RED}.get(status, GREY)
    filled = status == "visited"
    dashes = {"stroke_dasharray": "2.2 1.4"} if status == "unknown" else {}
    drawing.add("circle", cx=x, cy=y, r=radius, fill=colour if filled else PAPER, stroke=colour,
                stroke_width=1.3 if status != "pending" else 0.8, **dashes)  # fmt: skip
    size = radius * (1.15 if len(text) < 3 else 0.9)  # noqa: PLR2004 - digits
    if text:
        drawing.add("text", text, x=x, y=y + size * 0.36, font_size=size, text_anchor="middle",
                    fill=PAPER if filled else INK)  # fmt: skip
    sign = {"missed": "×", "unknown": "?"}.get(status)  # noqa: RUF001 - the sign itself
    if sign is not None:
        place = (x + radius * 0.95, y - radius * 0.55) if text else (x, y + radius * 0.5)
        drawing.text(place, sign, colour, on_lines=True, font_size=radius * 1.4, font_weight="bold")


def _scale(drawing: Drawing, view: _View, metres: float, words: Words) -> None:
    length, y = metres * view.scale, MAP_SIZE[1] - 9
    drawing.line([(10, y - 3), (10, y), (10 + length, y), (10 + length, y - 3)], INK, 1.1)
    told = words["map.scale"].format(distance=words.round_distance(metres))
    drawing.text((16 + length, y), told, GREY, on_lines=True, text_anchor="start")
    x = MAP_SIZE[0] - 14
    drawing.add("polygon", points=f"{x},8 {x - 3.5},18 {x},15.5 {x + 3.5},18", fill=INK)
    drawing.text((x, 26), words["map.north"], INK, on_lines=True)


# ---- the timeline

TIME_SIZE: Final = (774.0, 112.0)
LEFT, RIGHT = 44.0, 766.0
WINDOWS_Y: Final = 12.0
PLAN_Y: Final = 22.0
FACT_Y: Final = 60.0
BAR: Final = 16.0
AXIS_Y: Final = 88.0
TICKS_MAX: Final = 16
STEPS_MIN: Final = (5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440)
NUMBER_APART: Final = 9.0
BLOCK_MIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Axis:
    begin: datetime
    end: datetime

    @classmethod
    def of(cls, subject: Subject) -> "_Axis":
        """Return from the first to the last time that is planned or known; nothing beyond."""
        report, head = subject.report, subject.route.head
        moments = [at for stop in report.stops for at in (stop.arrived_at, stop.departed_at)]
        for stop, fact in zip(subject.route.plan.stops, report.stops, strict=True):
            if fact.planned_arrival is not None:
                served = fact.planned_arrival + timedelta(seconds=stop.service_s)
                moments += [fact.planned_arrival, served]
        moments += [at for one in report.fact.segments for at in (one.from_at, one.to_at)]
        known = [at for at in moments if at is not None] or [head.starts_at, head.ends_at]
        pad = max((max(known) - min(known)) * 0.015, timedelta(minutes=2))
        return cls(min(known) - pad, max(known) + pad)

    def x(self, at: datetime) -> float:
        share = (at - self.begin) / (self.end - self.begin)
        return LEFT + min(max(share, 0.0), 1.0) * (RIGHT - LEFT)

    def ticks(self, words: Words) -> Iterator[datetime]:
        """Give round times of the zone's clock."""
        minutes = (self.end - self.begin) / timedelta(minutes=1)
        step = next((one for one in STEPS_MIN if minutes / one <= TICKS_MAX), STEPS_MIN[-1])
        local = words.local(self.begin)
        past = timedelta(
            minutes=(local.hour * 60 + local.minute) % step,
            seconds=local.second,
            microseconds=local.microsecond,
        )
        at = self.begin - past
        while at <= self.end:
            if at >= self.begin:
                yield at
            at += timedelta(minutes=step)


def timeline(subject: Subject, words: Words) -> str:
    """Draw two bars on one axis, joined where a planned stop was served."""
    axis, drawing = _Axis.of(subject), Drawing(*TIME_SIZE, font=FONT)
    for at in axis.ticks(words):
        _tick(drawing, axis.x(at), words, at)
    for y, name in ((PLAN_Y, "plan"), (FACT_Y, "fact")):
        drawing.text(
            (0, y + 11), words[f"timeline.{name}"], INK, text_anchor="start", font_size=8.0
        )
    for line, offset in enumerate(words.offsets([axis.begin, axis.end]), start=1):
        drawing.text((0.5, AXIS_Y + 9 * line), offset, GREY, text_anchor="start")
    _fact_bar(drawing, subject, axis)
    _plan_bar(drawing, subject, axis)
    _joins(drawing, subject, axis)
    return drawing.svg()


def _tick(drawing: Drawing, x: float, words: Words, at: datetime) -> None:
    local = words.local(at)
    is_midnight = (local.hour, local.minute) == (0, 0)
    drawing.line([(x, 4), (x, AXIS_Y)], GREY if is_midnight else FAINT, 0.6)
    drawing.text((x, AXIS_Y + 9), f"{local:%H:%M}", GREY)
    if is_midnight:
        drawing.text((x, AXIS_Y + 18), f"{local:%d.%m.%Y}", GREY)


def _block(drawing: Drawing, axis: _Axis, begin: datetime, end: datetime, **look: object) -> None:
    x = axis.x(begin)
    width = max(axis.x(end) - x, BLOCK_MIN)
    drawing.add("rect", **{"x": x, "width": width, "height": BAR, **look})


def _plan_bar(drawing: Drawing, subject: Subject, axis: _Axis) -> None:
    last = 0.0
    times = [stop.planned_arrival for stop in subject.report.stops]
    known = [at for at in times if at is not None]
    if known:
        _block(drawing, axis, min(known), max(known), y=PLAN_Y + BAR / 2 - 2, height=4.0,
               fill=FAINT)  # fmt: skip
    for fact, stop in zip(subject.report.stops, subject.route.plan.stops, strict=True):
        if fact.window_start or fact.window_end:
            left, right = (
                axis.x(fact.window_start or axis.begin),
                axis.x(fact.window_end or axis.end),
            )
            y = WINDOWS_Y + 3.2 * (fact.planned_sequence % 2)  # so that neighbours do not meet
            bracket(drawing, left, right, y)
        if fact.planned_arrival is None:
            continue
        served = fact.planned_arrival + timedelta(seconds=stop.service_s)
        _block(drawing, axis, fact.planned_arrival, served, y=PLAN_Y, fill=GREY)
        x = axis.x(fact.planned_arrival)
        if x - last >= NUMBER_APART:
            drawing.text((x, PLAN_Y + BAR + 7), str(fact.planned_sequence + 1), INK, font_size=6.0)
            last = x


def bracket(drawing: Drawing, left: float, right: float, y: float) -> None:
    drawing.line([(left, y + 2), (left, y), (right, y), (right, y + 2)], GREY, 0.7)


def square(drawing: Drawing, at: XY) -> None:
    x, y = at
    drawing.add("rect", x=x - 4.2, y=y - 4.2, width=8.4, height=8.4, fill=PAPER, stroke=ORANGE,
                stroke_width=1.2)  # fmt: skip
    drawing.add("text", "P", x=x, y=y + 2.3, font_size=6.5, text_anchor="middle", fill=ORANGE)


def _fact_bar(drawing: Drawing, subject: Subject, axis: _Axis) -> None:
    report = subject.report
    segments = report.fact.segments
    until = min(axis.end, max(report.until, axis.begin))
    edges = [axis.begin, *(at for one in segments for at in (one.from_at, one.to_at)), until]
    for begin, end in list(pairwise(edges))[::2]:
        hatch(drawing, axis.x(begin), axis.x(end), FACT_Y, BAR)
    for one in segments:
        _block(drawing, axis, one.from_at, one.to_at, y=FACT_Y, fill="#BBD6EE")
    for found in report.deviations:
        _block(drawing, axis, found.from_at, found.to_at, y=FACT_Y + BAR - 4, height=4.0,
               fill=ORANGE)  # fmt: skip
    for stay in report.unplanned:
        _block(drawing, axis, stay.from_at, stay.to_at, y=FACT_Y, fill=PAPER, stroke=ORANGE,
               stroke_width=0.9)  # fmt: skip
    for begin, end in halts(report):
        _block(drawing, axis, begin, end, y=FACT_Y, fill=INK)


def hatch(drawing: Drawing, left: float, right: float, y: float, height: float) -> None:
    """Draw slanting lines: nothing is known here."""
    if right - left < 0.5:  # noqa: PLR2004 - points
        return
    drawing.add("rect", x=left, y=y, width=right - left, height=height, fill="#F1F3F5")
    for x in np.arange(left - height + 2, right, 4.0).tolist():
        begin, end = max(x, left), min(x + height, right)
        drawing.line([(begin, y + height - (begin - x)), (end, y + height - (end - x))],
                     "#B8C0C8", 0.5)  # fmt: skip


def _joins(drawing: Drawing, subject: Subject, axis: _Axis) -> None:
    """Join plan and fact; what leans is late or early. Mark what was missed or is not known."""
    colours: Mapping[str | None, str] = {"late": RED, "early": BLUE}
    last = 0.0
    for stop in subject.report.stops:
        if stop.planned_arrival is None:
            continue
        planned = axis.x(stop.planned_arrival)
        if stop.arrived_at is not None:
            x = axis.x(stop.arrived_at)
            ends = [(planned, PLAN_Y + BAR), (planned, PLAN_Y + BAR + 9), (x, FACT_Y)]
            drawing.line(ends[1:], colours.get(assess(stop).kind, GREY), 0.7)
            if x - last >= NUMBER_APART:
                drawing.text((x, FACT_Y + BAR + 7), str(stop.planned_sequence + 1), INK,
                             font_size=6.0)  # fmt: skip
                last = x
        elif stop.status in ("missed", "unknown"):
            sign, colour = ("×", RED) if stop.status == "missed" else ("?", GREY)  # noqa: RUF001
            drawing.text((planned, FACT_Y + 11), sign, colour, on_lines=True, font_size=9.0)
