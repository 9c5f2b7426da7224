"""Files as they come: read in a process with limits, whatever they hold."""

import io
import subprocess
import sys
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from time import monotonic, thread_time
from uuid import uuid4

import pytest
from openpyxl import Workbook
from openpyxl.styles import Font

from server.route_imports import sheet
from server.route_imports.model import Odd, Sheet
from server.route_imports.reading import SheetTooLarge, SheetUnreadable, read
from tests.route_imports.workbooks import SHEET_XML, sheet_of, with_parts, workbook

MIB = 1024 * 1024
LOOP_S_MAX = 0.18
PARTS = ("xl/sharedStrings.xml", SHEET_XML)

# Tells how much memory a program needed at its most, beside what it answered.
WATCHED = """
import resource, subprocess, sys
with open(sys.argv[1], "rb") as file:
    done = subprocess.run([sys.executable, "-I", *sys.argv[2:]], stdin=file, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, done.stdout[:60])
"""
UNGUARDED = """
import io, sys, openpyxl
book = openpyxl.load_workbook(io.BytesIO(sys.stdin.buffer.read()), read_only=True)
print(sum(len(row) for row in book.worksheets[0].iter_rows()))
"""


async def reading(raw: bytes) -> Sheet:
    return await read(uuid4(), raw)


def peak_bytes(raw: bytes, folder: Path, *program: str) -> tuple[int, str]:
    """Return how much memory reading took (or another program), and how its answer begins."""
    file = folder / "file.xlsx"
    file.write_bytes(raw)
    program = program or (str(Path(sheet.__file__)),)
    command = [sys.executable, "-c", WATCHED, str(file), *program]
    told = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - our own words
    peak, _, answer = told.stdout.partition(" ")
    return int(peak), answer


async def test_cells_are_values_of_their_kinds_with_the_rows_that_excel_shows() -> None:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = "Жоспар"
    page["A1"] = "Route"
    page["B3"] = date(2026, 12, 1)
    page["C3"] = time(8, 30)
    page["D3"] = datetime(2026, 12, 1, 8, 30)  # noqa: DTZ001 - a workbook knows no zone
    page["E3"] = timedelta(hours=26)
    page["F3"] = 43.25
    page["G3"] = True
    page["H3"] = "=1+1"
    page["I3"] = "#N/A"
    page["J3"].font = Font(bold=True)
    page["A9000"] = " "
    written = io.BytesIO()
    book.save(written)

    found = await reading(written.getvalue())

    assert found.name == "Жоспар"
    assert [row.number for row in found.rows] == [1, 3]
    day = datetime(2026, 12, 1)  # noqa: DTZ001 - as above
    assert found.rows[1].cells[:10] == (
        None, day, time(8, 30), day.replace(hour=8, minute=30), timedelta(hours=26), 43.25, True,
        Odd.FORMULA, Odd.ERROR, None,
    )  # fmt: skip


async def test_merged_cells_are_told() -> None:
    assert (await reading(workbook(merged="A2:B3"))).merged == ((2, 3),)
    assert (await reading(workbook())).merged == ()


async def test_a_file_that_lies_about_its_size_is_read_whole() -> None:
    raw = workbook()
    with zipfile.ZipFile(io.BytesIO(raw)) as book:
        lying = book.read(SHEET_XML).replace(b'ref="A1:O4"', b'ref="A1:A1"')
    assert b'ref="A1:A1"' in lying

    found = await reading(with_parts(raw, {SHEET_XML: lying}))

    assert len(found.rows) == 4
    assert found.rows[1].cells[5] == "Depot"


async def test_the_largest_workbook_leaves_the_loop_free() -> None:
    """Counted is the processor time of the loop's thread, in which uploads wait."""
    book = Workbook(write_only=True)
    page = book.create_sheet()
    for place in range(5_000):
        page.append(["Ж" * 1_600, *range(place, place + sheet.COLUMNS_MAX - 1)])
    written = io.BytesIO()
    book.save(written)
    began = thread_time()

    found = await reading(written.getvalue())

    assert len(found.rows) == 5_000
    assert found.rows[-1].cells[-1] == 5_037.0
    assert thread_time() - began < LOOP_S_MAX


ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c SYSTEM "file:///etc/passwd">]>'
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>&b;&c;</t></is></c></row></sheetData></worksheet>'
)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"route;date",
        b"PK\x03\x04",
        bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512),  # .xls, or one with a password
        with_parts(workbook(), {SHEET_XML: ENTITIES}),
        with_parts(workbook(), {SHEET_XML: b"<worksheet>"}),
        with_parts(workbook(), {"[Content_Types].xml": b"<Types/>"}),
        workbook()[:-400],
    ],
    ids=["empty", "csv", "cut", "ole", "entities", "xml", "types", "end"],
)
async def test_what_is_no_workbook_is_refused(raw: bytes) -> None:
    with pytest.raises(SheetUnreadable):
        await reading(raw)


def bombs() -> dict[str, bytes]:
    """Return files of less than a megabyte that would take much more."""
    usual = workbook()
    cell = b'<c r="A%d" t="inlineStr"><is><t>x</t></is></c>'
    many = b"".join(b'<row r="%d">%s</row>' % (n, cell % n) for n in range(1, 30_000))
    rows, last = sheet_of(b"<row/>" * MIB), cell % 1_048_576
    return {
        "zeros": with_parts(usual, {SHEET_XML: bytes(200 * MIB)}),
        "spaces": with_parts(usual, {SHEET_XML: sheet_of(b" " * (200 * MIB))}),
        "strings": with_parts(usual, {"xl/sharedStrings.xml": b"<si/>" * (40 * MIB)}),
        "together": with_parts(usual, {f"xl/{n}.xml": bytes(4 * MIB) for n in range(50)}),
        "parts": with_parts(usual, {f"xl/{n}.xml": b"" for n in range(5_000)}),
        "rows": with_parts(usual, {SHEET_XML: sheet_of(b"<row/>" * (4 * MIB))}),
        "cells": with_parts(usual, {SHEET_XML: sheet_of(many)}),
        "hidden": with_parts(usual, {SHEET_XML: rows.decode().encode("utf-16")}),
        "row": with_parts(usual, {SHEET_XML: sheet_of(b"<row>" + b"<c/>" * (7 * MIB) + b"</row>")}),
        "last": with_parts(usual, {SHEET_XML: sheet_of(b'<row r="1048576">%s</row>' % last)}),
    }


async def test_bombs_are_refused_or_read_in_bounded_time_and_memory(tmp_path: Path) -> None:
    for name, raw in bombs().items():
        assert len(raw) < 4 * MIB, name
        began = monotonic()

        peak, answer = peak_bytes(raw, tmp_path)

        assert peak < 128 * MIB, (name, peak)
        assert "too_large" in answer, name
        assert monotonic() - began < 10, name


async def test_control_without_the_guards_a_small_file_takes_much_more(tmp_path: Path) -> None:
    row = sheet_of(b"<row>" + b"<c/>" * 700_000 + b"</row>")
    raw = with_parts(workbook(), {SHEET_XML: row})

    peak, answer = peak_bytes(raw, tmp_path, "-c", UNGUARDED)
    guarded, _ = peak_bytes(raw, tmp_path)

    assert len(raw) < 100_000
    assert answer.startswith("b'700")
    assert peak > 200 * MIB
    assert guarded < 32 * MIB


async def test_damaged_files_are_read_or_refused() -> None:
    """Bytes are changed in the parts themselves, not only in their packing."""
    chance = Random(1)  # noqa: S311 - the same damage in every run
    usual = workbook()
    with zipfile.ZipFile(io.BytesIO(usual)) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    outcomes = []
    for _ in range(40):
        name = chance.choice(sorted(parts))
        damaged = bytearray(parts[name])
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            found = await reading(with_parts(usual, {name: bytes(damaged)}))
            outcomes.append(len(found.rows) <= 4)
        except (SheetUnreadable, SheetTooLarge) as refusal:
            outcomes.append(isinstance(refusal, SheetUnreadable))

    assert outcomes == [True] * 40
