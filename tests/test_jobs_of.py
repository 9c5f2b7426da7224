"""What is done every minute without a caller, over every company."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from server import background, settings
from server.accounts import service as accounts
from server.background import in_turns, jobs_of
from server.databases import Opened
from server.kek.key_file import load
from server.kit import db
from server.kit.db import ROLE_JOBS, Pool
from server.kit.jobs import Tick
from server.vault.held import Held
from server.vault.model import Category, SealedText
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.conftest import Databases
from tests.http import Clock
from tests.vault.memory import held
from tests.world import NOW, World, add_company, add_driver

DAY: Final = timedelta(days=1)
DAYS_AGO: Final = (0, 1, 2, 40)


def tick_of(opened: Opened, name: str) -> Tick:
    return jobs_of(opened, settings.read({}), Clock()).every_minute[name]


class Never(Exception):
    """Nobody raises it: an ``except`` clause that looks for this one catches nothing."""


@pytest.fixture
async def companies(world: World, databases: Databases) -> list[UUID]:
    """Two companies, in the order of the work; a latest position in each is due for deletion."""
    other = await add_company(world.vault, world.owner)
    drivers = {
        world.company_id: world.driver,
        other: await add_driver(world.vault, world.pool, other),
    }
    for company_id, driver in drivers.items():
        await world.owner.execute(
            "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id,"
            " blob) VALUES ($1, $2, $3, $3, $4, 'sealed')",
            company_id,
            driver.member_id,
            NOW - timedelta(minutes=16),
            driver.device_id,
        )
    conn = await db.connect(databases.main, role=ROLE_JOBS)
    found = await accounts.every_company(conn)
    await conn.close()
    return found


@pytest.fixture
async def poisoned(world: World, companies: list[UUID]) -> AsyncIterator[UUID]:
    """The first company: deleting its latest positions fails."""
    first = companies[0]
    await world.owner.execute(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF OLD.company_id = '{first}' THEN RAISE 'poisoned'; END IF;"
        " RETURN OLD; END $$;"
        " CREATE TRIGGER poison BEFORE DELETE ON latest_position"
        " FOR EACH ROW EXECUTE FUNCTION poison()"
    )
    yield first
    await world.owner.execute("DROP FUNCTION poison CASCADE")


async def left_undone(world: World, opened: Opened) -> set[UUID]:
    """Run the work of a minute as the queue does; return whose was not done."""
    # The queue tells of a tick that failed in the log, and comes again in a minute.
    with suppress(asyncpg.RaiseError):
        await tick_of(opened, "sweep_latest_positions")()
    left = await world.owner.fetch("SELECT company_id FROM latest_position")
    return {row["company_id"] for row in left}


async def test_a_company_whose_work_fails_does_not_hold_up_the_others(
    world: World, opened: Opened, poisoned: UUID, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await left_undone(world, opened) == {poisoned}

    printed = "".join(capfd.readouterr())
    assert "job_failed" in printed
    assert str(poisoned) in printed
    assert "poisoned" not in printed


@pytest.mark.usefixtures("poisoned")
async def test_control_a_failure_that_is_not_caught_holds_up_every_company_after_it(
    world: World, opened: Opened, companies: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clause looks the name up in its module first: nothing is caught there any more.
    monkeypatch.setattr(background, "Exception", Never, raising=False)

    assert await left_undone(world, opened) == set(companies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Of how many days ago the keys are still there, by where."""

    stored: set[int]
    in_memory: set[int]
    opens: set[int]
    """Something sealed then, as in an old dump of main, is still read by a new process."""


@pytest.fixture
async def left(
    world: World, opened: Opened, keys_pool: Pool, kek_file: Path
) -> Callable[[], Awaitable[Left]]:
    async def once_destroyed() -> Left:
        """Seal live positions of some days, let the keys be destroyed, and look for them."""
        sealed = {days: await seal_live(world, days) for days in DAYS_AGO}
        ids = {item.key_id: days for days, item in sealed.items()}

        await tick_of(opened, "destroy_live_keys")()

        new = await open_vault(keys_pool, load(kek_file), NOW)
        texts = await new.open_texts(world.company_id, list(sealed.values()))
        stored = await new.keys(world.company_id, ids)
        return Left(
            stored={ids[key_id] for key_id in stored},
            in_memory={ids[key_id] for key_id in held(world.vault) & ids.keys()},
            opens={
                days for days, text in zip(sealed, texts, strict=True) if text == f"{days} days ago"
            },
        )

    return once_destroyed


async def seal_live(world: World, days: int) -> SealedText:
    driver_id = world.driver.member_id
    sealed = await world.vault.seal_text(
        world.company_id,
        driver_id,
        Category.LIVE,
        f"{days} days ago",
        row_id=driver_id,
        schema="latest",
        now=NOW - days * DAY,
    )
    return SealedText(sealed=sealed, row_id=driver_id, schema="latest")


async def test_keys_of_live_positions_are_destroyed_after_a_day(
    left: Callable[[], Awaitable[Left]],
) -> None:
    kept = {0, 1}

    assert await left() == Left(stored=kept, in_memory=kept, opens=kept)


async def test_other_keys_stay_however_old(world: World, opened: Opened) -> None:
    track = await world.vault.key(
        world.company_id, world.driver.member_id, Category.TRACK, at=NOW - 40 * DAY
    )

    await tick_of(opened, "destroy_live_keys")()

    assert track.key_id in held(world.vault)
    world.vault.forget(world.company_id, world.driver.member_id)
    assert track.key_id in await world.vault.keys(world.company_id, [track.key_id])


async def test_control_keys_that_nobody_destroys_are_found(
    left: Callable[[], Awaitable[Left]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_destroyed(_vault: Vault, _company_id: UUID, _now: datetime) -> int:
        return 0

    monkeypatch.setattr(Vault, "destroy_live", not_destroyed)

    everything = set(DAYS_AGO)
    assert await left() == Left(stored=everything, in_memory=everything, opens=everything)


async def test_control_destroyed_keys_that_are_not_dropped_are_found_in_memory(
    left: Callable[[], Awaitable[Left]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Held, "_drop", lambda *_place: None)

    assert await left() == Left(stored={0, 1}, in_memory=set(DAYS_AGO), opens={0, 1})


class Turns:
    """Companies that have so many turns' worth to do, and the order in which they did it."""

    def __init__(self, left: dict[UUID, int]) -> None:
        self.left = left
        self.taken: list[UUID] = []
        self.at: set[datetime] = set()

    async def __call__(self, company_id: UUID, now: datetime) -> int:
        self.taken.append(company_id)
        self.at.add(now)
        if self.left[company_id] < 0:
            raise RuntimeError
        if self.left[company_id] == 0:
            return 0
        self.left[company_id] -= 1
        await asyncio.sleep(0.01)
        return 1


async def take(
    databases: Databases, turns: Turns, clock: Clock | None = None, seconds_max: float = 60
) -> None:
    asking = asyncio.Semaphore(1)
    await in_turns(
        databases.main, clock or Clock(), asking, "turns", turns, seconds_max=seconds_max
    )


async def test_a_large_company_waits_for_the_others_between_its_turns(
    databases: Databases, companies: list[UUID]
) -> None:
    large, small = companies
    turns = Turns({large: 5, small: 1})

    await take(databases, turns)

    assert turns.left == {large: 0, small: 0}
    assert set(turns.taken[:2]) == {large, small}
    assert sorted(turns.taken[2:4]) == sorted(companies)  # the small one finds that it is done
    assert turns.taken[4:] == [large] * 4


async def test_turns_end_when_the_time_is_up(databases: Databases, companies: list[UUID]) -> None:
    turns = Turns(dict.fromkeys(companies, 10_000))

    await take(databases, turns, seconds_max=0.1)

    assert 0 < len(turns.taken) < 100
    assert abs(turns.left[companies[0]] - turns.left[companies[1]]) <= 1


async def test_a_company_whose_turn_fails_has_no_other_and_holds_up_nobody(
    databases: Databases, companies: list[UUID]
) -> None:
    failing, other = companies
    turns = Turns({failing: -1, other: 3})

    await take(databases, turns)

    assert turns.left[other] == 0
    assert turns.taken.count(failing) == 1


async def test_whoever_comes_late_is_not_too_late(
    databases: Databases, companies: list[UUID]
) -> None:
    """What is due in one minute of ten would otherwise be due only for who comes first."""
    clock = Clock()
    turns = Turns(dict.fromkeys(companies, 1))

    async def slow(company_id: UUID, now: datetime) -> int:
        clock.at += timedelta(minutes=1)
        return await turns(company_id, now)

    await in_turns(databases.main, clock, asyncio.Semaphore(1), "turns", slow)

    assert turns.at == {NOW}


@pytest.mark.parametrize(
    "job", ["forget_reports", "forget_alerts", "forget_links", "forget_stop_events"]
)
async def test_nothing_is_removed_by_a_clock_that_is_far_from_the_databases(
    opened: Opened, job: str
) -> None:
    def a_year_ahead() -> datetime:
        return datetime.now(UTC) + 365 * DAY

    def right() -> datetime:
        return datetime.now(UTC)

    failed = {}
    for clock in (a_year_ahead, right):
        with capture_logs() as said:
            await jobs_of(opened, settings.read({}), clock).every_day[job]()
        failed[clock] = [one["error"] for one in said if one["event"] == "job_failed"]

    assert failed == {a_year_ahead: ["ClocksApart"], right: []}
