"""A report as XLSX and as CSV. Pure.

What people wrote stays text: nothing in a file may become a formula or a link, whoever opens it.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from server.report_files import tables
from server.report_files.model import Subject, writable
from server.report_files.tables import Column, Kind, Line, Table, Value
from server.report_files.words import KM_M, NONE, Words
from server.reports.model import KMH_PER_MPS

if TYPE_CHECKING:
    from xlsxwriter.format import Format  # type: ignore[import-untyped]  # it has no types
    from xlsxwriter.workbook import Workbook  # type: ignore[import-untyped]  # as above
    from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # as above

# Excel, LibreOffice and Sheets take a text for a formula by its first character; full-width forms
# as well, where the system's language has them. Who opens a file by other separators than it has
# sees another cell behind each comma, semicolon, tab and line's end of a text, quoted or not.
_FORMULA: Final = re.compile(r'(^|[,;\t\r\n])(?=[\s"]*[=+\-@＝＋－＠])')  # noqa: RUF001
DAY_S: Final = 86_400
SHEET_OPTIONS: Final = {
    "in_memory": True,
    "strings_to_numbers": False,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "nan_inf_to_errors": False,
}
MOMENT_FORM: Final = "dd.mm.yyyy hh:mm"
BESIDE_WIDTH: Final = 10
"""Of the longest offset there is."""
FORMS: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "@",
    Kind.COUNT: "#,##0",
    Kind.NUMBER: "0.0",
    Kind.KM: "#,##0.0",
    Kind.METRES: "#,##0",
    Kind.MOMENT: MOMENT_FORM,
    Kind.DURATION: "[h]:mm",
    Kind.MINUTES: "+0;-0;0",
    Kind.RATIO: "0%",
    Kind.SCORE: "0.00",
    Kind.DEGREES: "0.00000",
    Kind.SPEED: "0",
}
"""Number formats are the same for every language: a spreadsheet shows them in its own."""
TONES: Final[Mapping[str, str]] = {
    "late": "#FCE4D6",
    "early": "#DDEBF7",
    "missed": "#F8CBCB",
    "unknown": "#EDEDED",
}
RULE: Final[Mapping[str, object]] = {"bottom": 4, "bottom_color": "#C8CED4"}
"""A hair line under a figure, that leads from its name to it."""
HEAD_TONE: Final = "#1F3A5F"
A4: Final = 9
COLUMNS_ON_A_PAGE: Final = 14
FOOTER_NAME_MAX: Final = 60
LABEL_WIDTH: Final = 46
VALUE_WIDTH: Final = 34


def xlsx(subject: Subject) -> bytes:
    """Return a workbook of five sheets: summary, stops, legs, deviations, quality."""
    import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415 - 12 MB, once it is needed

    words = Words(subject.language, subject.zone)
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, SHEET_OPTIONS) as book:
        _describe(book, subject, words)
        forms = _Forms(book)
        summary = _sheet(book, words["sheet.summary"], subject, words)
        lines = [*tables.head(subject, words), *tables.figures(subject, words)]
        _write_lines(summary, lines, words, forms, title=words["head.title"])
        for place, note in enumerate(tables.notes(subject, words)):
            summary.write_string(len(lines) + 2 + place, 0, note, forms.note)
        for table in tables.every(subject, words):
            _write_table(book, table, subject, words, forms)
        rules = _sheet(book, words["sheet.quality"], subject, words)
        _write_lines(
            rules, tables.quality(subject, words), words, forms, title=words["sheet.quality"]
        )
    return file.getvalue()


def _describe(book: "Workbook", subject: Subject, words: Words) -> None:
    """Say what it is, and nothing of who asked for it or when the file was made."""
    computed = subject.report.computed_at.astimezone(UTC).replace(tzinfo=None)
    book.set_properties(
        {"title": words["head.title"], "company": writable(subject.company), "created": computed}
    )


class _Forms:
    """The formats of one workbook: by what a cell holds and what is worth seeing in its row."""

    def __init__(self, book: "Workbook") -> None:
        self._book = book
        self._made: dict[tuple[Kind, str | None, bool, str], Format] = {}
        self.title = book.add_format({"bold": True, "font_size": 14})
        self.note = book.add_format({"italic": True, "font_color": "#595959"})
        self.label = book.add_format({"font_color": "#404040", "valign": "top", **RULE})
        self.head = book.add_format(
            {
                "bold": True,
                "text_wrap": True,
                "valign": "vcenter",
                "align": "center",
                "bg_color": HEAD_TONE,
                "font_color": "#FFFFFF",
                "border": 1,
                "border_color": "#FFFFFF",
            }
        )

    def of(
        self, kind: Kind, tone: str | None = None, *, left: bool = False, beside: str = ""
    ) -> "Format":
        """Return a format; ``beside`` is what it shows after the figure."""
        key = (kind, tone, left, beside)
        if key not in self._made:
            form = f'{FORMS[kind]}"{beside}"' if beside else FORMS[kind]
            look: dict[str, object] = {"num_format": form, "valign": "top"}
            if kind is Kind.TEXT:
                # Without its alignment LibreOffice knows no indent, and glues it to a figure.
                look |= {"text_wrap": True, "align": "left", "indent": 0 if left else 1}
            else:
                look["align"] = "left" if left else "right"
            if left:
                look |= RULE
            if tone is not None and tone in TONES:
                look["bg_color"] = TONES[tone]
            self._made[key] = self._book.add_format(look)
        return self._made[key]


def _sheet(book: "Workbook", name: str, subject: Subject, words: Words) -> "Worksheet":
    sheet = book.add_worksheet(name)
    sheet.set_paper(A4)
    # An ampersand begins a code in footers, which hold 255 characters at most.
    shown = writable(f"{subject.company} · {subject.route.name}"[:FOOTER_NAME_MAX])
    pages = words["head.page"].format(page="&P", pages="&N")
    sheet.set_footer(f"&L{shown.replace('&', '&&')}&R{tables.zone_of(subject, words)} · {pages}")
    return sheet


def _write_lines(
    sheet: "Worksheet", lines: Iterable[Line], words: Words, forms: _Forms, *, title: str
) -> None:
    sheet.set_portrait()
    sheet.fit_to_pages(1, 0)
    sheet.set_column(0, 0, LABEL_WIDTH)
    sheet.set_column(1, 1, VALUE_WIDTH)
    sheet.write_string(0, 0, title, forms.title)
    sheet.freeze_panes(1, 0)
    for place, line in enumerate(lines, start=1):
        sheet.write_string(place, 0, line.label, forms.label)
        _write(sheet, place, 1, line.kind, line.value, words, forms.of(line.kind, left=True))


def _write_table(
    book: "Workbook", table: Table, subject: Subject, words: Words, forms: _Forms
) -> None:
    sheet = _sheet(book, words[f"sheet.{table.sheet}"], subject, words)
    zone = tables.offsets(subject, words)
    for place, column in enumerate(table.columns):
        besides = (
            words.beside(at) for row in table.rows if isinstance(at := row.values[place], datetime)
        )
        # A time that is wider than its column is shown as hashes.
        sheet.set_column(place, place, column.width + (BESIDE_WIDTH if any(besides) else 0))
        sheet.write_string(0, place, _heading(column, words, zone), forms.head)
    frozen = _frozen(table.columns)
    sheet.set_landscape()
    sheet.fit_to_pages(1 if len(table.columns) <= COLUMNS_ON_A_PAGE else 2, 0)
    sheet.repeat_columns(0, frozen - 1)
    sheet.set_row(0, 48)
    sheet.freeze_panes(1, frozen)
    sheet.repeat_rows(0)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
    for number, row in enumerate(table.rows, start=1):
        for place, (column, value) in enumerate(zip(table.columns, row.values, strict=True)):
            beside = words.beside(value) if isinstance(value, datetime) else ""
            form = forms.of(column.kind, row.tone, beside=beside)
            _write(sheet, number, place, column.kind, value, words, form)


def _heading(column: Column, words: Words, zone: Sequence[str]) -> str:
    """Return a heading; one of times names the zone they are in."""
    name = words[f"column.{column.name}"]
    return f"{name}\n{' / '.join(zone)}" if column.kind is Kind.MOMENT else name


def _frozen(columns: Sequence[Column]) -> int:
    """Return how many columns stay in sight: those up to the stop's name."""
    names = [column.name for column in columns]
    return names.index("stop") + 1 if "stop" in names else 1


def _write(
    sheet: "Worksheet", row: int, place: int, kind: Kind, value: Value, words: Words, form: "Format"
) -> None:
    match value:
        case None:
            sheet.write_string(row, place, NONE, form)
        case str():
            sheet.write_string(row, place, writable(value), form)
        case datetime():
            local = words.local(value).replace(tzinfo=None)
            sheet.write_datetime(row, place, local, form)
        case int() | float():
            sheet.write_number(row, place, _cell(kind, value), form)


def _cell(kind: Kind, value: float) -> float:
    """Return a figure in the unit that its column names."""
    match kind:
        case Kind.KM:
            return value / KM_M
        case Kind.DURATION:
            return value / DAY_S
        case Kind.SPEED:
            return value * KMH_PER_MPS
    return value


def csv_of_stops(subject: Subject) -> bytes:
    """Return the stops as CSV (RFC 4180), UTF-8 with the mark that Excel knows it by.

    What is not known is empty. Russian and Kazakh readers get what their Excel expects: a
    semicolon between cells and a comma in numbers; English ones a comma and a point. Where the
    clock is changed each time says its own offset; else it does not, for then no Excel knows it.
    """
    words = Words(subject.language, subject.zone)
    table = tables.stops(subject, words)
    zone = tables.offsets(subject, words)
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=words["format.list"], lineterminator="\r\n")
    writer.writerow(_heading(column, words, zone).replace("\n", ", ") for column in table.columns)
    for row in table.rows:
        writer.writerow(
            _text(column.kind, value, words, zone)
            for column, value in zip(table.columns, row.values, strict=True)
        )
    return file.getvalue().encode("utf-8-sig")


def _text(  # noqa: PLR0911 - one line a kind
    kind: Kind, value: Value, words: Words, zone: Sequence[str]
) -> str:
    match value:
        case None:
            return ""
        case str():
            return "" if value == NONE else harmless(value)
        case datetime():
            local = words.local(value)
            shown = local if len(zone) > 1 else local.replace(tzinfo=None)
            return shown.isoformat(" ", "seconds")
    decimal = words["format.decimal"]
    match kind:
        case Kind.DURATION:
            return words.duration(value)
        case Kind.MINUTES | Kind.COUNT | Kind.METRES:
            return str(round(value))
        case Kind.DEGREES:
            return f"{value:.6f}".replace(".", decimal)
        case Kind.SCORE:
            return f"{value:.2f}".replace(".", decimal)
    return f"{value:.1f}".replace(".", decimal)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe goes before one."""
    return _FORMULA.sub(r"\1'", text)
