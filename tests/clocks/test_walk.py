"""A walk through every clock: not yet an instant before, done at its date, and who is told."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientSession

import server.background
import server.retention.plans
import server.retention.service
from server import settings
from server.background import jobs_of
from server.databases import Opened
from server.disclosures.web import ENDPOINTS as DISCLOSURES
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions.web import ENDPOINTS as DECISIONS
from server.holds.web import ENDPOINTS as HOLDS
from server.incidents.web import ENDPOINTS as INCIDENTS
from server.person_requests.web import ENDPOINTS as REQUESTS
from tests.clocks.table import NO_CLOCK, NO_DATE, ROWS
from tests.clocks.walk import MOMENT, Row, Walk
from tests.disclosures.acts import people_of
from tests.http import Clock, serve
from tests.world import World

TESTS: Final = Path(__file__).parents[1]
OF_THE_FUTURE: Final = (
    r"(until|expires_at|stepped_up|due_at|answer_by|effective_at|ends_by|ends_at|next_attempt_at)$"
)
"""How a column is called that holds a time which is still to come."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    features = (DISCLOSURES, ERASURE, DECISIONS, HOLDS, INCIDENTS, REQUESTS)
    async with serve(world, *features, clock=clock) as opened:
        yield opened


@pytest.fixture
async def walk(
    world: World,
    opened: Opened,
    clock: Clock,
    client: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> Walk:
    async def whatever_time(*_: object) -> None:
        """Let a moved clock delete: what refuses just that is proved by the tests of retention."""

    for module in (server.background, server.retention.service, server.retention.plans):
        monkeypatch.setattr(module, "refuse_other_time", whatever_time)
    people = await people_of(world)
    return Walk(world=world, opened=opened, clock=clock, client=client, people=people)


@pytest.mark.parametrize("row", [one for one in ROWS if one.stage], ids=lambda one: one.clock)
async def test_nothing_is_silent_and_nothing_is_past_its_date(walk: Walk, row: Row) -> None:
    assert row.stage is not None
    assert row.job is not None
    staged = await row.stage(walk)

    await walk.run(row.job, staged.due - MOMENT)
    assert await staged.seen() == staged.before
    heard = await walk.heard()
    await walk.run(row.job, staged.due)
    assert await staged.seen() == staged.after
    told = await walk.heard() - heard
    assert set(told) == row.told
    # Once more in the same minute: it is neither done nor told again.
    await walk.run(row.job, staged.due)
    assert await staged.seen() == staged.after
    assert await walk.heard() - heard == told


def test_every_job_has_a_clock_in_the_table_or_says_why_it_has_none(opened: Opened) -> None:
    jobs = jobs_of(opened, settings.read({}), Clock())
    known = {*jobs.every_minute, *jobs.every_day, *jobs.queued}
    with_clock = {row.job for row in ROWS if row.job is not None}

    assert not with_clock & NO_CLOCK.keys()
    assert with_clock | NO_CLOCK.keys() == known


async def test_every_column_with_a_date_to_come_is_in_the_table_or_says_why_not(
    world: World,
) -> None:
    rows = await world.owner.fetch(
        "SELECT c.relname || '.' || a.attname AS name FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND a.atttypid = 'timestamptz'::regtype AND a.attname ~ $1",
        OF_THE_FUTURE,
    )
    columns = frozenset[str]().union(*(row.columns for row in ROWS))

    assert not columns & NO_DATE.keys()
    assert columns | NO_DATE.keys() == {row["name"] for row in rows}


@pytest.mark.parametrize("row", ROWS, ids=lambda one: one.clock)
def test_every_clock_is_driven_here_or_by_a_test_that_is_there(row: Row) -> None:
    assert (row.stage is None) != (row.proved is None)
    if row.proved is not None:
        file, name = row.proved.split("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        assert name in {one.name for one in tree.body if isinstance(one, functions)}


def test_no_two_clocks_have_one_name() -> None:
    assert len({row.clock for row in ROWS}) == len(ROWS)


async def test_control_a_job_that_does_nothing_is_found(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_walk: Walk, _job: str, _at: object) -> None:
        """The job did not run."""

    monkeypatch.setattr(Walk, "run", nothing)
    row = next(one for one in ROWS if one.job == "tell_of_disclosures")

    with pytest.raises(AssertionError):
        await test_nothing_is_silent_and_nothing_is_past_its_date(walk, row)
