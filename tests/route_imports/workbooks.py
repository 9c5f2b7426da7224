"""Workbooks as dispatchers, programs and attackers make them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any, Final

from openpyxl import Workbook

from server.accounts.model import Locale
from server.route_imports.model import Column
from server.route_imports.template import header

COLUMNS: Final = (
    Column.ROUTE, Column.DATE, Column.DRIVER, Column.VEHICLE, Column.START, Column.STOP,
    Column.LAT, Column.LON, Column.ARRIVAL, Column.WINDOW_FROM, Column.WINDOW_TO, Column.SERVICE,
    Column.REFERENCE, Column.CONTACT, Column.PHONE,
)  # fmt: skip
HEADERS: Final = tuple(header(column, Locale.RU) for column in COLUMNS)
DAY: Final = date(2026, 12, 1)
ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    ("North", DAY, None, None, time(8, 30), "Depot", 43.238949, 76.889709, time(8, 30)),
    ("North", DAY, None, None, None, "Shop", 43.25, 76.95, time(9), time(9), time(12), 10, 10452,
     "Айгүл", 77011234567),
    ("South", DAY, None, None, None, "Depot", 43.238949, 76.889709),
)  # fmt: skip
SHEET_XML: Final = "xl/worksheets/sheet1.xml"


def workbook(
    rows: Sequence[Sequence[Any]] = ROWS,
    *,
    headers: Sequence[str] = HEADERS,
    merged: str | None = None,
) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Маршруты"
    sheet.append(list(headers))
    for row in rows:
        sheet.append(list(row))
    if merged is not None:
        sheet.merge_cells(merged)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def with_parts(raw: bytes, parts: Mapping[str, bytes]) -> bytes:
    """Return the workbook with other parts in it, packed as tightly as they can be."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as book,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as changed,
    ):
        for name in book.namelist():
            if name not in parts:
                changed.writestr(name, book.read(name))
        for name, content in parts.items():
            changed.writestr(name, content)
    return written.getvalue()


def sheet_of(rows: bytes) -> bytes:
    """Return the XML of a sheet with these rows in it."""
    return (
        b'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns='
        b'"http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        + rows
        + b"</sheetData></worksheet>"
    )
