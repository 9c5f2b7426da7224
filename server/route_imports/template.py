"""The workbook to fill in, and the words of it and of what is refused, in each language. Pure."""

import io
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from server.accounts.model import Locale
from server.route_imports.layout import plain
from server.route_imports.model import REQUIRED, ROUTES_MAX, Column, FaultKind
from server.routes.model import STOPS_MAX

if TYPE_CHECKING:
    from xlsxwriter import Workbook  # type: ignore[import-untyped]  # it has no types
    from xlsxwriter.format import Format  # type: ignore[import-untyped]  # as above
    from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # as above

TEXTS: Final[Mapping[Locale, Mapping[str, Mapping[str, str]]]] = MappingProxyType(
    {
        language: tomllib.loads(
            (Path(__file__).parent / "texts" / f"{language.value}.toml").read_text("utf-8")
        )
        for language in Locale
    }
)
# A header is known in every language, and by its name here: a template may change hands.
HEADERS: Final[Mapping[str, Column]] = MappingProxyType(
    {plain(column.value): column for column in Column}
    | {plain(texts["columns"][column]): column for texts in TEXTS.values() for column in Column}
)
EXAMPLES: Final = frozenset(plain(texts["example"]["route"]) for texts in TEXTS.values())
# Whatever a cell holds, it is a value: no formula, no link, nothing taken for a number.
SAFE: Final = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
WIDTHS: Final[Mapping[Column, int]] = {
    Column.ROUTE: 30,
    Column.STOP: 30,
    Column.DRIVER: 18,
    Column.CONTACT: 20,
    Column.PHONE: 20,
}
WIDTH: Final = 14
TWO_LINES: Final = 32
"""Points. Not every program makes a row as high as its text."""
MEANING_WIDTH: Final = 80
_DAY: Final = "yyyy-mm-dd"
_CLOCK: Final = "hh:mm"
FORMATS: Final[Mapping[Column, str]] = {
    Column.DATE: _DAY,
    Column.START: _CLOCK,
    Column.ARRIVAL: _CLOCK,
    Column.WINDOW_FROM: _CLOCK,
    Column.WINDOW_TO: _CLOCK,
    Column.LAT: "0.000000",
    Column.LON: "0.000000",
    # Or a program would make 7.7E+10 of a phone, and drop the zeros before an order's number.
    Column.DRIVER: "@",
    Column.VEHICLE: "@",
    Column.REFERENCE: "@",
    Column.PHONE: "@",
}


def sentence(kind: FaultKind, language: Locale) -> str:
    """Return what a fault is, for a person."""
    return TEXTS[language]["faults"][kind].format(stops_max=STOPS_MAX, routes_max=ROUTES_MAX)


def header(column: Column, language: Locale) -> str:
    return TEXTS[language]["columns"][column]


def template(language: Locale, *, zone: str, today: date) -> bytes:
    """Return a workbook with the headers, a row for example, and how each column is filled in."""
    import xlsxwriter  # noqa: PLC0415 - 12 MB, once it is needed

    texts = TEXTS[language]
    written = io.BytesIO()
    book = xlsxwriter.Workbook(written, SAFE)
    try:
        bold = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        plans = book.add_worksheet(texts["sheet"]["plans"])
        plans.freeze_panes(1, 0)
        plans.set_row(0, TWO_LINES)
        plans.set_landscape()
        plans.fit_to_pages(1, 0)
        for place, column in enumerate(Column):
            look = book.add_format({"num_format": FORMATS.get(column, "General")})
            plans.set_column(place, place, WIDTHS.get(column, WIDTH), look)
            star = " *" if column in REQUIRED else ""
            plans.write_string(0, place, header(column, language) + star, bold)
            _write(plans, 1, place, _example(column, texts["example"], today), look)
        _help(book, texts, bold, zone)
    finally:
        book.close()
    return written.getvalue()


def _help(
    book: "Workbook", texts: Mapping[str, Mapping[str, str]], bold: "Format", zone: str
) -> None:
    sheet = book.add_worksheet(texts["sheet"]["help"])
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    for place, (name, width) in enumerate(
        (("column", 24), ("needed", 14), ("meaning", MEANING_WIDTH))
    ):
        sheet.set_column(place, place, width, wrapped)
        sheet.write_string(0, place, texts["sheet"][name], bold)
    for row, column in enumerate(Column, start=1):
        if len(texts["help"][column]) >= MEANING_WIDTH:
            sheet.set_row(row, TWO_LINES)
        needed = texts["sheet"]["yes" if column in REQUIRED else "no"]
        for place, text in enumerate((texts["columns"][column], needed, texts["help"][column])):
            sheet.write_string(row, place, text, wrapped)
    sheet.write_string(len(Column) + 2, 2, texts["sheet"]["zone"].format(zone=zone), wrapped)


def _example(column: Column, words: Mapping[str, str], today: date) -> str | float | date | time:
    shown: Mapping[Column, str | float | date | time] = {
        Column.DATE: today,
        Column.START: time(8, 30),
        Column.LAT: 43.238949,
        Column.LON: 76.889709,
        Column.ARRIVAL: time(9, 15),
        Column.WINDOW_FROM: time(9),
        Column.WINDOW_TO: time(12),
        Column.SERVICE: 10.0,
        Column.RADIUS: 50.0,
        Column.REFERENCE: "0001",
        Column.DRIVER: "+7 701 123 45 67",
        Column.VEHICLE: "123 ABC 02",
        Column.PHONE: "+7 701 765 43 21",
    }
    return shown[column] if column in shown else words[column]


def _write(
    sheet: "Worksheet", row: int, place: int, value: str | float | date | time, look: "Format"
) -> None:
    match value:
        case str():
            sheet.write_string(row, place, value, look)
        case float():
            sheet.write_number(row, place, value, look)
        case date():
            sheet.write_datetime(row, place, datetime.combine(value, time()), look)
        case time():
            sheet.write_datetime(row, place, value, look)
