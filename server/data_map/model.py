"""What the installation stores about people, for programs to read. Pure.

The document is written from the comments of the databases' own columns, and a test holds it to
them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("data_map.json")


@cache
def columns() -> tuple[dict[str, Any], ...]:
    """Return every column that says something about a person, be it only by an id."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return tuple(found)
