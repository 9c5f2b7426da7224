"""Reads a workbook as openpyxl does, cell by cell."""

import io
from typing import Any

import openpyxl


def book_of(data: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(data))


def cells_of(data: bytes) -> list[str]:
    """Return every cell of every sheet as text."""
    return [
        str(cell.value)
        for sheet in book_of(data)
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    ]
