"""A report on paper: what stands where. The setting itself is done by server/kit/typesetting."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from server.kit import typesetting
from server.kit.svg import PAPER, XY, Drawing
from server.kit.typesetting import SettingFailed
from server.report_files import picture, tables
from server.report_files.model import PdfNotInstalled, PdfNotMade, Subject, assess, counts, is_poor
from server.report_files.tables import Kind, Table
from server.report_files.words import KM_M, NONE, Words
from server.reports.model import Availability

PAPER_FOLDER: Final = Path(__file__).parent / "paper"
SOURCE: Final = (PAPER_FOLDER / "report.typ").read_text("utf-8")
HEAD: Final = ("zone", "plan_version", "computed_at", "state", "availability")
LOOKS_MAX: Final = 14
BESIDE_NAME_MAX: Final = 60
"""So much of a name stands beside the map and in the footer; all of it in title and table."""
SIGN: Final = (20.0, 9.0)
LEGEND_MAP: Final = (
    "fact",
    "off",
    "visited",
    "missed",
    "unknown",
    "pending",
    "unplanned",
)
LEGEND_TIME: Final = ("driven", "stop", "off", "unplanned", "gap", "window")
STOP_COLUMNS: Final[Mapping[str, int]] = {
    "number": 5,
    "actual_number": 8,
    "stop": 31,
    "status": 14,
    "window": 14,
    "planned_arrival": 11,
    "arrived_at": 11,
    "uncertainty": 6,
    "expected_at": 12,
    "difference": 17,
    "service_planned": 15,
    "service": 15,
    "wait": 12,
    "distance": 12,
    "evidence": 21,
    "confidence": 13,
}
"""By name their widths. Of the sheet's; the window is one column, the difference is said with its
word, and what is expected stands there only while something is."""


def refuse_where_not_installed() -> None:
    """Refuse to make a PDF where nothing is there that sets it.

    Raises
    ------
    PdfNotInstalled
    """
    if not typesetting.is_installed():
        raise PdfNotInstalled


async def pdf(content: Mapping[str, Any]) -> bytes:
    """Return the PDF of :func:`content`; it is set in a process of its own.

    Raises
    ------
    PdfNotMade
    """
    try:
        return await typesetting.pdf(SOURCE, content, fonts=PAPER_FOLDER)
    except SettingFailed:
        raise PdfNotMade from None


def content(subject: Subject) -> Mapping[str, Any]:
    """Return all that stands in the PDF, as words and pictures. Belongs in a thread."""
    words = Words(subject.language, subject.zone)
    report, names = subject.report, HEAD
    head = {line.label: str(line.value) for line in tables.head(subject, words)}
    labels = [words[f"head.{name}"] for name in names]
    shown = tables.deviations(subject, words)
    tabled = [_stops(subject, words), _generic(tables.legs(subject, words), subject, words)]
    if shown.rows:
        tabled.append(_generic(shown, subject, words))
    street = words["map.title"].format(stops=len(report.stops), lines=len(report.fact.segments))
    return {
        "language": subject.language.value,
        "title": words["head.title"],
        "company": subject.company,
        "route": subject.route.name,
        "footer_route": _shortened(subject.route.name),
        "date": f"{subject.route.head.date:%d.%m.%Y}",
        "head": [{"label": label, "value": head[label]} for label in labels],
        "figures": _figures(subject, words),
        "map": picture.street(subject, words),
        "map_alt": street,
        "legend": _legend(subject, words),
        "legend_title": words["look.legend"],
        "timeline": picture.timeline(subject, words),
        "timeline_alt": words["timeline.title"],
        "timeline_legend": _signs(LEGEND_TIME, "timeline", words),
        "look_title": words["look.title"],
        "looks": _looks(subject, words),
        "tables": tabled,
        "poor": words["note.poor"] if is_poor(report) else "",
        "notes": [words[f"note.{name}"] for name in tables.NOTES],
        "page": words["head.page"],
        "algorithm": f"{words['head.algorithm']} {report.algorithm_version}",
    }


def _figures(subject: Subject, words: Words) -> list[dict[str, str]]:
    """Return the figures that answer first: how many, how far, how long."""
    report, found, totals = subject.report, counts(subject.report), subject.report.totals
    full = report.availability is Availability.FULL
    planned = words.number(totals.planned_m / KM_M, 1)
    actual = words.number(totals.actual_m / KM_M, 1) if full else NONE
    apart = words["short.gap"].format(km=words.number(totals.gap_m / KM_M, 1))
    of = words["short.of"]
    visited = of.format(n=found["visited"], all=len(report.stops))
    on_time = of.format(n=found["on_time"], all=found["judged"])
    figures = [
        (visited if full else NONE, words["figure.visited"]),
        (on_time if found["judged"] else NONE, words["short.on_time"]),
        (str(found["late"]) if full else NONE, words["figure.late"]),
        (str(found["missed"]) if full else NONE, words["figure.missed"]),
        (str(found["unknown"]), words["figure.unknown"]),
        (f"{planned} / {actual}", words["short.distance"]),
        (words.duration(totals.drive_s if full else None), words["short.time"]),
    ]
    notes = {words["short.distance"]: apart} if full and totals.gap_m >= 50 else {}  # noqa: PLR2004
    return [
        {"value": value, "label": label, "note": notes.get(label, "")} for value, label in figures
    ]


def _looks(subject: Subject, words: Words) -> list[dict[str, str]]:
    """Return the stops that want an explanation; of many the first."""
    found = []
    for stop in subject.report.stops:
        assessed = assess(stop)
        if stop.status in ("missed", "unknown"):
            told, tone = words.named("status", stop.status), stop.status
        elif assessed.kind in ("late", "early"):
            told, tone = tables.assessed(assessed, words), str(assessed.kind)
        else:
            continue
        number = str(stop.planned_sequence + 1)
        found.append({"number": number, "name": _shortened(stop.name), "words": told, "tone": tone})
    if not found:
        return [{"number": "", "name": words["look.nothing"], "words": "", "tone": ""}]
    if len(found) > LOOKS_MAX:
        more = words["look.more"].format(n=len(found) - LOOKS_MAX + 1)
        return [*found[: LOOKS_MAX - 1], {"number": "", "name": more, "words": "", "tone": ""}]
    return found


def _shortened(name: str) -> str:
    return name if len(name) <= BESIDE_NAME_MAX else f"{name[: BESIDE_NAME_MAX - 1]}…"


def _stops(subject: Subject, words: Words) -> dict[str, Any]:
    table, day = tables.stops(subject, words), subject.route.head.date
    place = {column.name: at for at, column in enumerate(table.columns)}
    expects = bool(subject.report.live.eta)
    shown = [name for name in STOP_COLUMNS if name != "expected_at" or expects]
    rows = []
    for row, fact in zip(table.rows, subject.report.stops, strict=True):
        cells = {
            name: _shown(table.columns[at].kind, row.values[at], words, subject)
            for name, at in place.items()
        }
        cells["window"] = NONE
        if fact.window_start is not None or fact.window_end is not None:
            ends = (words.clock(at, day) for at in (fact.window_start, fact.window_end))
            cells["window"] = NONE.join(" " if end == NONE else end for end in ends)
        cells["difference"] = tables.assessed(assess(fact), words)
        if fact.unknown_reason is not None:
            cells["evidence"] = cells["unknown_reason"]
        rows.append({"cells": [cells[name] for name in shown], "tone": row.tone or ""})
    return {
        "title": words["sheet.stops"],
        "columns": [words[f"column.{name}"] for name in shown],
        "left": [name in ("stop", "status", "difference", "evidence") for name in shown],
        "widths": [STOP_COLUMNS[name] for name in shown],
        "rows": rows,
    }


def _generic(table: Table, subject: Subject, words: Words) -> dict[str, Any]:
    return {
        "title": words[f"sheet.{table.sheet}"],
        "columns": [words[f"column.{column.name}"] for column in table.columns],
        "left": [column.kind is Kind.TEXT for column in table.columns],
        "widths": [column.width for column in table.columns],
        "rows": [
            {
                "cells": [
                    _shown(column.kind, value, words, subject)
                    for column, value in zip(table.columns, row.values, strict=True)
                ],
                "tone": row.tone or "",
            }
            for row in table.rows
        ],
    }


def _shown(kind: Kind, value: tables.Value, words: Words, subject: Subject) -> str:
    """Return a cell; a time of the route's own day without its date."""
    if kind is Kind.MOMENT and not isinstance(value, str | int | float):
        return words.clock(value, subject.route.head.date)
    return tables.shown(kind, value, words)


def _legend(subject: Subject, words: Words) -> list[dict[str, str]]:
    planned = "straight" if subject.route.plan.line is None else "plan"
    return _signs((planned, *LEGEND_MAP), "map", words)


def _signs(names: Sequence[str], table: str, words: Words) -> list[dict[str, str]]:
    return [{"sign": sign(table, name), "label": words[f"{table}.{name}"]} for name in names]


def sign(table: str, name: str) -> str:
    """Draw one entry of a legend, as it stands in that picture."""
    drawing = Drawing(*SIGN, font=picture.FONT)
    width, height = SIGN
    middle = (width / 2, height / 2)
    if name in ("visited", "missed", "unknown", "pending"):
        picture.mark(drawing, middle, 3.6, name, "")
    else:
        draw = _LINES.get(f"{table}.{name}") or _LINES[name]
        draw(drawing, [(1.0, middle[1]), (width - 1.0, middle[1])])
    return drawing.svg()


def _rails(drawing: Drawing, ends: list[XY]) -> None:
    drawing.line(ends, picture.GREY, 5.6)
    drawing.line(ends, PAPER, 4.0)


def _bar(fill: str, stroke: str) -> Callable[[Drawing, list[XY]], None]:
    def draw(drawing: Drawing, ends: list[XY]) -> None:
        (left, y), (right, _) = ends
        drawing.add("rect", x=left, y=y - 3.5, width=right - left, height=7.0, fill=fill,
                    stroke=stroke, stroke_width=0.8)  # fmt: skip

    return draw


_LINES: Final[Mapping[str, Callable[[Drawing, list[XY]], None]]] = {
    "plan": _rails,
    "straight": lambda drawing, ends: drawing.line(ends, picture.GREY, 1.0, stroke_dasharray="5 3"),
    "fact": lambda drawing, ends: drawing.line(ends, picture.BLUE, 1.9),
    "off": lambda drawing, ends: drawing.line(ends, picture.ORANGE, 2.0, stroke_dasharray="5 3"),
    "unplanned": lambda drawing, ends: picture.square(drawing, (10.0, ends[0][1])),
    "timeline.off": lambda drawing, ends: drawing.line(ends, picture.ORANGE, 4.0),
    "timeline.unplanned": _bar(PAPER, picture.ORANGE),
    "driven": _bar("#BBD6EE", "#BBD6EE"),
    "stop": _bar(picture.INK, picture.INK),
    "gap": lambda drawing, ends: picture.hatch(drawing, ends[0][0], ends[1][0], 1.0, 7.0),
    "window": lambda drawing, ends: picture.bracket(drawing, ends[0][0], ends[1][0], 3.0),
}
