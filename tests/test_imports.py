"""What a process that answers requests must not have imported: each costs megabytes, for nothing.

The names are held, not the megabytes: those differ from machine to machine.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import Databases
from tests.workers import fresh_databases

FORBIDDEN: Final = {
    "alembic": "only migrating needs it",
    "sqlalchemy": "only Alembic needs it",
    "mako": "only Alembic needs it",
    "pgqueuer": "only a job that is put in or run needs it",
    "zxcvbn": "only a new password needs it",
    "openpyxl": "only the process that reads a workbook needs it",
    "xlsxwriter": "only a workbook that is written needs it",
    "typst": "only the process that sets a document needs it",
    "hvac": "only a KEK in a transit engine needs it",
    "server.demo": "only jolda demo needs it",
    "pytest": "only tests need it",
}
PART: Final = """
import asyncio, json, sys
from pathlib import Path
from server import databases, running
from server.connections import PoolSizes
from server.databases import Databases
from server.settings import Settings

async def main(part, home, main, keys):
    settings = Settings(home=Path(home), kek_file=Path(home) / "kek", port=0)
    dsns = Databases(main=main, keys=keys)
    if part == "migrated":
        await databases.bring_up_to_date(dsns, say=print)
    else:
        begin = {"worker": running.worker, "jobs": running.job_runner}[part]
        async with begin(settings, dsns, PoolSizes(main=2, keys=2)):
            pass
    print(json.dumps(sorted(sys.modules)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
async def databases_of_parts(server_dsn: str) -> Databases:
    return await fresh_databases(server_dsn)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


async def imported_by(part: str, home: Path, databases: Databases) -> set[str]:
    """Begin a part of the server in a process of its own; return the modules it has then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PART,
        part,
        str(home),
        databases.main,
        databases.keys,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return set(json.loads(printed))


async def test_a_worker_holds_no_library_that_it_does_not_use(
    home: Path, databases_of_parts: Databases
) -> None:
    modules = await imported_by("worker", home, databases_of_parts)

    assert "server.uploads.web" in modules
    assert modules & FORBIDDEN.keys() == set()


async def test_a_server_whose_databases_are_up_to_date_takes_nothing_to_migrate_them(
    home: Path, databases_of_parts: Databases
) -> None:
    modules = await imported_by("migrated", home, databases_of_parts)

    assert modules & FORBIDDEN.keys() == set()


async def test_control_what_the_job_runner_needs_is_found_in_it(
    home: Path, databases_of_parts: Databases
) -> None:
    modules = await imported_by("jobs", home, databases_of_parts)

    assert modules & FORBIDDEN.keys() == {"pgqueuer"}
