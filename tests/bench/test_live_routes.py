"""The bench of routes under way at its smallest, so that it cannot rot."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest

from bench import live_routes
from tests.conftest import copy_databases
from tests.proofs import Report
from tests.stage import Place, Stage, stage_on


@pytest.fixture
async def at(server_dsn: str, kek_folder: Path) -> AsyncGenerator[Stage]:
    databases = await copy_databases(server_dsn, f"live_routes_{uuid4().hex}")
    place = Place(main=databases.main, keys=databases.keys, kek=kek_folder / "kek")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JOLDA_ALLOW_UNSAFE_POSTGRES", "for-tests-only")
        async with stage_on(place) as made:
            yield made


async def test_the_bench_follows_every_route_and_says_what_that_costs(at: Stage) -> None:
    report = Report(name="live routes")

    await live_routes.follow(at, report, of="smoke")

    assert [row.figure for row in report.rows] == [
        "a refresh of 4 routes",
        "of a route",
        "share of one core, of the whole time",
        "after a start, until all are followed",
        "memory of a route that is followed",
    ]
