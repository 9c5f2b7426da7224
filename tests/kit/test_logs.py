"""Logs as a fresh process writes them: what stands in a line is on a list."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server.kit.logs import keep_allowed

TOP = Path(__file__).parents[2]


def lines_of(code: str) -> list[dict[str, Any]]:
    whole = "import asyncio, logging, structlog\nfrom server.kit import logs\nlogs.configure()\n"
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", whole + code], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert "CANARY" not in done.stderr + done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.proves("gocargo:how-we-use-5-queries")
def test_only_listed_fields_stand_in_a_line() -> None:
    (line,) = lines_of(
        "structlog.get_logger().info('upload_taken', endpoint='positions', lat='CANARY',"
        " phone='CANARY', token='CANARY')"
    )

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "upload_taken", "level": "info", "endpoint": "positions", "dropped": 3
    }  # fmt: skip


def test_libraries_say_who_and_what_kind_but_not_what() -> None:
    code = """
try:
    raise ValueError("CANARY")
except ValueError:
    logging.getLogger("aiohttp.server").exception("CANARY %s", "CANARY")
logging.getLogger("asyncpg").warning("CANARY")
logging.getLogger("some.library").info("CANARY")
logging.getLogger("odd").log(37, "CANARY")
"""

    first, second, third = lines_of(code)

    assert (first["logger"], first["level"], first["error"]) == (
        "aiohttp.server", "error", "ValueError"
    )  # fmt: skip
    assert first["at"].startswith("<string>:")
    assert (second["logger"], second["level"]) == ("asyncpg", "warning")
    assert third["logger"] == "odd"


def test_an_error_nobody_awaited_is_told_without_its_text() -> None:
    code = """
async def fails():
    raise ValueError("CANARY")

async def main():
    asyncio.get_running_loop().set_exception_handler(logs.report_loop_error)
    task = asyncio.create_task(fails(), name="CANARY")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

asyncio.run(main())
"""

    (line,) = lines_of(code)

    assert (line["event"], line["error"], line["level"]) == (
        "unawaited_error", "ValueError", "error"
    )  # fmt: skip


@pytest.mark.parametrize("event", ["Driver CANARY is here", "", "A", "a" * 65, None, 5, "a\n"])
def test_an_event_is_a_name_not_a_sentence(event: object) -> None:
    kept = keep_allowed(None, "info", {"event": event})

    assert kept == {"event": "unnamed", "dropped": 1}


def test_values_are_plain_and_short() -> None:
    class Position:
        def __repr__(self) -> str:
            return "CANARY"

    kept = keep_allowed(
        None, "info",
        {"event": "a", "error": Position(), "at": ["CANARY"], "count": 3, "role": "a" * 999},
    )  # fmt: skip

    assert kept == {
        "event": "a", "error": "Position", "at": "list", "count": 3, "role": "a" * 200
    }  # fmt: skip
