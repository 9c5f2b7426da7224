"""Has XLSX files read by a process of their own (see sheet.py); large files take turns."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from server.gate.drawing import ReadsBusy, Turns, in_thread
from server.kit.errors import Invalid, TooLarge, Unavailable
from server.route_imports import sheet
from server.route_imports.model import Cell, Odd, Row, Sheet

READ_S_MAX: Final = 20.0
WAITING_MAX: Final = 4
OF_COMPANY_MAX: Final = 2

# Of the process: each takes a core for as long as it takes.
_turns: Final = Turns(1, waiting_max=WAITING_MAX, company_max=OF_COMPANY_MAX)


class SheetUnreadable(Invalid):
    slug = "sheet-unreadable"
    title = "This is not an XLSX file that can be read"

    def __init__(self) -> None:
        super().__init__("Save it as an Excel workbook (.xlsx), without a password.")


class SheetTooLarge(TooLarge):
    slug = "sheet-too-large"
    title = "The workbook is too large"

    def __init__(self) -> None:
        super().__init__(
            f"At most {sheet.ROWS_MAX} rows and {sheet.UNPACKED_BYTES_MAX // sheet.MIB} MiB "
            "unpacked. Split it, or copy the rows into a fresh template."
        )


class ImportsBusy(Unavailable):
    slug = "imports-busy"
    title = "Imports cannot be read just now"
    retry_after_s = 2.0


async def read(company_id: UUID, raw: bytes) -> Sheet:
    """Return the cells of the first sheet.

    Raises
    ------
    SheetUnreadable, SheetTooLarge, ImportsBusy
    """
    async with turn(company_id):
        return await in_thread(_sheet_of, await _said(raw))


@asynccontextmanager
async def turn(company_id: UUID) -> AsyncGenerator[None]:
    """Read a large file while no other is read here, whoever's it is.

    Raises
    ------
    ImportsBusy
    """
    try:
        async with _turns.one(company_id):
            yield
    except ReadsBusy:
        raise ImportsBusy from None


def _sheet_of(said: bytes) -> Sheet:
    """Return what the process said. Line by line: while JSON is read, no other thread runs."""
    lines = said.splitlines()
    match json.loads(lines[0]) if lines else None:
        case {"sheet": str(name), "merged": merged}:
            return Sheet(
                name=name,
                rows=tuple(map(_row, lines[1:])),
                merged=tuple((first, last) for first, last in merged),
            )
        case {"refused": sheet.UNREADABLE}:
            raise SheetUnreadable
    raise SheetTooLarge


async def _said(raw: bytes) -> bytes:
    """Return what the process said; nothing where it ran into its limits and was ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",  # nothing of ours is found by name, no variable of the environment is obeyed
        str(Path(sheet.__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(READ_S_MAX):
            said, _ = await process.communicate(raw)
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return said if process.returncode == 0 else b""


def _row(line: bytes) -> Row:
    number, cells = json.loads(line)
    return Row(number=number, cells=tuple(None if one is None else _cell(*one) for one in cells))


def _cell(kind: str, value: Any) -> Cell:
    match kind:
        case "f":
            return Odd.FORMULA
        case "e":
            return Odd.ERROR
        case "d":
            return datetime.fromisoformat(value)
        case "t":
            return time.fromisoformat(value)
        case "i":
            return timedelta(seconds=value)
    found: str | float | bool = value
    return found
