"""Reads an XLSX file in a process of its own: the file comes in, plain cells go out as JSON lines.

It is started by its path and imports nothing of the server: it holds no key and no connection, and
what a workbook may hide (entities, bombs, endless rows) ends this process and no other.
"""

import io
import json
import re
import resource
import sys
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, Final, TypeAlias

MIB: Final = 1024 * 1024
FILE_BYTES_MAX: Final = 4 * MIB
MEMORY_BYTES_MAX: Final = 256 * MIB
"""Of addresses; about 40 MiB are taken before a file is read."""
CPU_S_MAX: Final = 10
PARTS_MAX: Final = 200
UNPACKED_BYTES_MAX: Final = 32 * MIB
TAGS_MAX: Final = 1_000_000
"""Of a part. An element takes some fifty times the memory of its shortest tag."""
ROW_TAGS_MAX: Final = 20_000
"""A row is held in memory whole; a few programs write out each of its 16,384 columns."""
ROWS_LOOKED_AT_MAX: Final = 20_000
"""Blank ones included: below a table there are often thousands with nothing but a border."""
ROWS_MAX: Final = 10_000
COLUMNS_MAX: Final = 40
CELL_CHARS_MAX: Final = 2_000
CHARS_MAX: Final = 8 * MIB
MERGED_MAX: Final = 500

UNREADABLE: Final = "unreadable"
TOO_LARGE: Final = "too_large"

Cell: TypeAlias = list[Any] | None
"""What kind it is, and its value; None where nothing is written."""

_MERGED: Final = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]{0,200}?ref="[A-Z]+(\d+):[A-Z]+(\d+)"')
_ROW: Final = re.compile(rb"<(?:\w+:)?row[\s/>]")
_SHEET: Final = re.compile(rb"<(?:\w+:)?sheetData[\s/>]")
_ENCRYPTED: Final = 0x1
_PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class _Refused(Exception):
    """``args[0]`` is why."""


def main() -> int:
    """Read standard input, answer on standard output; the status is 0 whatever was found."""
    _limit()
    try:
        told = _read(sys.stdin.buffer.read(FILE_BYTES_MAX + 1))
    except _Refused as error:
        told = [{"refused": error.args[0]}]
    except MemoryError:
        told = [{"refused": TOO_LARGE}]
    except Exception:  # noqa: BLE001 - whatever the library meets: it is no workbook that we read
        told = [{"refused": UNREADABLE}]
    for line in told:
        sys.stdout.buffer.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return 0


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _read(raw: bytes) -> list[Any]:
    if len(raw) > FILE_BYTES_MAX:
        raise _Refused(TOO_LARGE)
    _refuse_bombs(raw)
    # openpyxl takes numpy where there is one, and it would take more than all the rest.
    sys.modules["numpy"] = None  # type: ignore[assignment]  # the documented way to hide a module
    import openpyxl  # noqa: PLC0415 - only under the limits, and without numpy
    from openpyxl.reader.excel import ExcelReader  # noqa: PLC0415 - as above

    if openpyxl.LXML or not openpyxl.DEFUSEDXML:  # without it entities would be expanded
        raise _Refused(UNREADABLE)
    warnings.simplefilter("ignore")  # of what it leaves out: pictures, rules of validation
    reader = ExcelReader(io.BytesIO(raw), read_only=True, keep_links=False)
    reader.read()
    if not reader.wb.worksheets:
        raise _Refused(UNREADABLE)
    first: Any = reader.wb.worksheets[0]
    paths = {found.name: rel.target for found, rel in reader.parser.find_sheets()}
    told = {
        "sheet": str(first.title)[:CELL_CHARS_MAX],
        "merged": _merged(reader.archive, paths[first.title]),
    }
    return [told, *_rows(first)]


def _refuse_bombs(raw: bytes) -> None:
    """Look at the parts before any is parsed: what they claim to hold, then how many tags."""
    try:
        book = zipfile.ZipFile(io.BytesIO(raw))
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise _Refused(UNREADABLE) from None
    parts = book.infolist()
    if any(part.flag_bits & _ENCRYPTED or part.compress_type not in _PACKED for part in parts):
        raise _Refused(UNREADABLE)
    # No more than is claimed is ever unpacked of a part.
    if len(parts) > PARTS_MAX or sum(part.file_size for part in parts) > UNPACKED_BYTES_MAX:
        raise _Refused(TOO_LARGE)
    for part in parts:
        text = book.read(part)
        if text.count(b"<") > TAGS_MAX:
            raise _Refused(TOO_LARGE)
        if _SHEET.search(text) and any(
            row.count(b"<") > ROW_TAGS_MAX for row in _ROW.split(text)[1:]
        ):
            raise _Refused(TOO_LARGE)


def _rows(sheet: Any) -> Iterator[tuple[int, list[Cell]]]:
    """Yield the rows in which anything is written, with the numbers that Excel shows."""
    sheet.reset_dimensions()  # the file's own word for how large it is
    count = chars = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = [_cell(one) for one in row[:COLUMNS_MAX]]
        if not any(cells):
            continue
        count += 1
        chars += sum(len(cell[1]) for cell in cells if cell and isinstance(cell[1], str))
        if number > ROWS_LOOKED_AT_MAX or count > ROWS_MAX + 1 or chars > CHARS_MAX:
            raise _Refused(TOO_LARGE)
        yield number, cells


def _cell(cell: Any) -> Cell:
    value = cell.value
    if cell.data_type in {"f", "e"}:
        return [cell.data_type, ""]
    match value:
        case None:
            told = None
        case bool():
            told = ["b", value]
        case int() | float():
            told = ["n", float(value)]
        case datetime():
            told = ["d", value.replace(tzinfo=None).isoformat()]
        case date():
            told = ["d", datetime.combine(value, time()).isoformat()]
        case time():
            told = ["t", value.replace(tzinfo=None).isoformat()]
        case timedelta():
            told = ["i", value.total_seconds()]
        case _:
            text = str(value)[: CELL_CHARS_MAX + 1]
            told = ["s", text] if text.strip() else None
    return told


def _merged(archive: zipfile.ZipFile, path: str) -> list[tuple[int, int]]:
    """Return from which row to which cells are merged: the first so many; the sheet is refused."""
    found = islice(_MERGED.finditer(archive.read(path)), MERGED_MAX)
    return [(int(one[1]), int(one[2])) for one in found]


if __name__ == "__main__":
    sys.exit(main())
