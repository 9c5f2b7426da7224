"""The workbook of a package: a sheet for each part, a block for each table. Pure.

What people wrote stays text: nothing in it may become a formula or a link, whoever opens it.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from server.export_files.model import TABLES, Part, Row, tables_of
from server.export_files.words import Words, file_of
from server.report_files.model import writable
from server.report_files.sheets import HEAD_TONE, MOMENT_FORM, SHEET_OPTIONS

if TYPE_CHECKING:
    from xlsxwriter.format import Format  # type: ignore[import-untyped]  # it has no types
    from xlsxwriter.workbook import Workbook  # type: ignore[import-untyped]  # as above
    from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # as above

ROWS_MAX: Final = 5_000
"""Of one table: the workbook is made in memory, and nobody reads more. The JSON has all."""
CELL_CHARS_MAX: Final = 32_000
"""Of a text: Excel holds 32,767."""
WIDTH: Final = 24
WIDE: Final = 70
WIDE_COLUMNS: Final = frozenset(
    {"text.body", "event.text", "question", "answer", "given", "said", "text", "advice"}
)
DAY_FORM: Final = "dd.mm.yyyy"

Rows = Mapping[str, Sequence[Row]]
"""By table, each row with what its columns show."""


def sheet_tables(part: Part) -> tuple[str, ...]:
    """Return the tables of a part that its sheet shows."""
    return tuple(name for name in tables_of(part) if TABLES[name].shown)


class Book:
    """A workbook that is written sheet by sheet."""

    def __init__(self, words: Words, now: datetime) -> None:
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415 - 12 MB, once needed

        self._words = words
        self._file = io.BytesIO()
        self._now = now
        self._book: Workbook = xlsxwriter.Workbook(self._file, SHEET_OPTIONS)
        # Not when the program ran: it is the time that the package names.
        self._book.set_properties({"created": now.astimezone(UTC).replace(tzinfo=None)})
        text: dict[str, object] = {"text_wrap": True, "valign": "top", "align": "left"}
        add = self._book.add_format
        self._title: Format = add({"bold": True, "font_size": 14})
        self._note: Format = add({"italic": True, "font_color": "#595959"})
        self._block: Format = add({"bold": True, "font_size": 12})
        self._head: Format = add(
            {**text, "bold": True, "bg_color": HEAD_TONE, "font_color": "#FFFFFF"}
        )
        self._text: Format = add({**text, "num_format": "@"})
        self._moment: Format = add({**text, "num_format": MOMENT_FORM})
        self._day: Format = add({**text, "num_format": DAY_FORM})
        self._figure: Format = add({**text, "num_format": "0"})

    def add(self, part: Part, rows: Rows) -> None:
        """Write one sheet. Of a table with more rows than it shows there is one more than those."""
        words = self._words
        sheet: Worksheet = self._book.add_worksheet(words[f"sheet.{part}"])
        wide = {
            place
            for name in sheet_tables(part)
            for place, column in enumerate(TABLES[name].shown)
            if column in WIDE_COLUMNS
        }
        for place in range(max(len(TABLES[name].shown) for name in sheet_tables(part))):
            sheet.set_column(place, place, WIDE if place in wide else WIDTH)
        sheet.write_string(0, 0, words[f"sheet.{part}"], self._title)
        sheet.write_string(1, 0, words.clock(self._now), self._note)
        line = 3
        for name in sheet_tables(part):
            line = self._add_block(sheet, line, part, name, rows.get(name, ())) + 1

    def end(self) -> bytes:
        self._book.close()
        return self._file.getvalue()

    def _add_block(
        self, sheet: "Worksheet", line: int, part: Part, name: str, rows: Sequence[Row]
    ) -> int:
        words, shown = self._words, TABLES[name].shown
        sheet.write_string(line, 0, words[f"table.{name}"], self._block)
        line += 1
        if not rows:
            sheet.write_string(line, 0, words["format.none"], self._text)
            return line + 1
        for place, column in enumerate(shown):
            sheet.write_string(line, place, words.heading(name, column), self._head)
        for row in rows[:ROWS_MAX]:
            line += 1
            for place, column in enumerate(shown):
                self._write(sheet, line, place, column, row[column])
        if len(rows) > ROWS_MAX:
            line += 1
            told = words["format.more"].format(file=file_of(part))
            sheet.write_string(line, 0, told, self._note)
        return line + 1

    def _write(self, sheet: "Worksheet", line: int, place: int, column: str, value: Any) -> None:
        if isinstance(value, date) and not isinstance(value, datetime):
            sheet.write_datetime(line, place, value, self._day)
            return
        match self._words.cell(column, value):
            case datetime() as moment:
                sheet.write_datetime(line, place, moment, self._moment)
            case int() | float() as figure:
                sheet.write_number(line, place, figure, self._figure)
            case text:
                sheet.write_string(line, place, writable(text)[:CELL_CHARS_MAX], self._text)
