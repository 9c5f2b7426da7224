"""A package is made whole, whatever comes in between, and is nobody's but the driver's."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from cryptography.exceptions import InvalidTag

from server.accounts.model import Locale
from server.exports import making, service, store
from server.exports.model import (
    ASKED_A_DAY_MAX,
    KEPT,
    RUN_LASTS,
    STEPS,
    ExportMissing,
    ExportsTooMany,
    RunLost,
    State,
)
from server.kek.key_file import load
from server.kit import db
from server.notice_kinds.kinds import NoticeKind
from server.vault.model import Category
from server.vault.opening import open_vault
from tests.erasure.person import add_person
from tests.exports.made import asked, content, files, make, package, stored
from tests.http import Clock
from tests.world import NOW, World

PLACES = [f"{step}.{moment}" for step in STEPS for moment in ("begun", "worked", "done")]


class Crash(Exception):
    pass


def crashing(at: str, times: int = 1) -> Any:
    left = [times]

    def failpoint(place: str) -> None:
        if place == at and left[0]:
            left[0] -= 1
            raise Crash

    return failpoint


async def count(world: World, table: str) -> int:
    found: int = await world.owner.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
    return found


async def test_a_crash_at_any_place_only_delays(world: World) -> None:
    driver_id, clock = world.driver.member_id, Clock()
    whole = set(files(await package(world, driver_id, clock)))
    await world.owner.execute("UPDATE export_package SET asked_at = asked_at - interval '2 days'")
    export_id = await asked(world, driver_id, clock)
    for place in PLACES[:-1]:  # with the last of them it is ready
        # So often begun it would count as one that cannot be made.
        await world.owner.execute("UPDATE export_package SET runs = 1 WHERE state = 'making'")
        with pytest.raises(Crash):
            await make(world, export_id, clock, failpoint=crashing(place))

    assert await make(world, export_id, clock)
    found = files(await content(world, await stored(world, export_id)))
    assert set(found) == whole


async def test_one_that_never_comes_to_its_end_is_given_up(world: World) -> None:
    clock = Clock()
    export_id = await asked(world, world.driver.member_id, clock)
    await world.owner.execute("UPDATE export_package SET runs = 20")

    assert not await make(world, export_id, clock)

    assert (await stored(world, export_id)).state is State.FAILED


async def test_of_two_that_make_it_one_is_refused_with_its_next_part(world: World) -> None:
    """A run that stood still for long: another one has taken over."""
    clock = Clock()
    export_id = await asked(world, world.driver.member_id, clock)
    first = await _run(world, export_id, clock)
    await first._store(0, 900, b"before")  # noqa: SLF001 - one part of it
    clock.at += RUN_LASTS + timedelta(seconds=1)
    assert await make(world, export_id, clock)

    with pytest.raises(RunLost):
        await first._store(0, 901, b"after")  # noqa: SLF001 - as above

    assert files(await content(world, await stored(world, export_id)))


async def _run(world: World, export_id: Any, clock: Clock) -> Any:
    """Take the package as a job does, and go no further."""
    run_id = export_id
    async with db.tenant(world.pool, world.company_id) as conn:
        now = clock()
        before = now - RUN_LASTS
        assert await store.take(
            conn, world.company_id, export_id, run_id, heard_before=before, now=now
        )
        export = await store.get(conn, world.company_id, export_id)
        assert export is not None
    return making._Run(  # noqa: SLF001 - one run by itself
        world.pool, world.vault, world.company_id, export, run_id, clock, lambda _place: None
    )


async def test_control_without_its_guard_the_package_is_broken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def held(*_args: object, **_named: object) -> bool:
        return True

    clock = Clock()
    export_id = await asked(world, world.driver.member_id, clock)
    first = await _run(world, export_id, clock)
    clock.at += RUN_LASTS + timedelta(seconds=1)
    assert await make(world, export_id, clock)
    ready = await stored(world, export_id)
    monkeypatch.setattr(store, "hold", held)

    await first._store(0, 901, b"after")  # noqa: SLF001 - as above

    with pytest.raises(ExportMissing):
        await content(world, ready)


async def test_while_one_is_under_way_it_is_the_answer_whoever_asks_at_once(world: World) -> None:
    clock = Clock()
    found = await asyncio.gather(*(asked(world, world.driver.member_id, clock) for _ in range(5)))

    assert len(set(found)) == 1
    assert await count(world, "export_package") == 1


async def test_only_so_many_a_day(world: World) -> None:
    driver_id, clock = world.driver.member_id, Clock()
    for _ in range(ASKED_A_DAY_MAX):
        await asked(world, driver_id, clock)
        await world.owner.execute("UPDATE export_package SET state = 'failed'")

    with pytest.raises(ExportsTooMany) as refused:
        await asked(world, driver_id, clock)
    assert refused.value.retry_after_s == timedelta(days=1).total_seconds()

    clock.at += timedelta(days=1)
    await asked(world, driver_id, clock)


async def test_the_driver_is_told_when_it_is_ready_and_the_ledger_knows(world: World) -> None:
    await package(world, world.driver.member_id)

    kinds = await world.owner.fetch("SELECT kind FROM notice WHERE kind = 'export_ready'")
    acts = await world.owner.fetch(
        "SELECT act FROM ledger_entry WHERE act LIKE 'export%' ORDER BY index"
    )
    assert [row["kind"] for row in kinds] == [NoticeKind.EXPORT_READY]
    assert [row["act"] for row in acts] == ["export_asked", "export_ready"]


async def test_nothing_of_it_can_be_read_in_the_database(world: World) -> None:
    person = await add_person(world)
    data = await package(world, person.driver_id)

    rows = await world.owner.fetch("SELECT sealed FROM export_chunk")
    steps = await world.owner.fetch("SELECT files_sealed FROM export_step")
    kept = b"".join(row["sealed"] for row in rows)
    assert len(kept) > len(data)
    # The control: it is all there once it is opened.
    assert b"README.txt" in data
    assert b"README.txt" not in kept
    assert all(b"README" not in row["files_sealed"] for row in steps)


async def test_it_dies_with_its_keys_also_where_the_rows_are_still_there(
    world: World, keys_pool: db.Pool, kek_file: Any
) -> None:
    clock = Clock()
    export_id = await asked(world, world.driver.member_id, clock)
    assert await make(world, export_id, clock)
    ready = await stored(world, export_id)
    assert await content(world, ready)  # the control

    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    fresh = await open_vault(keys_pool, load(kek_file), NOW)
    with pytest.raises(ExportMissing):
        _ = [part async for part in service.content(world.pool, fresh, world.company_id, ready)]


async def test_after_seven_days_it_is_removed_and_a_day_later_its_key(world: World) -> None:
    clock, company_id = Clock(), world.company_id
    driver_id = world.driver.member_id
    export_id = await asked(world, driver_id, clock)
    assert await make(world, export_id, clock)

    before = NOW + KEPT - timedelta(seconds=1)
    assert await service.forget_old(world.pool, company_id, before) == 0
    assert await count(world, "export_chunk") > 0
    assert await service.forget_old(world.pool, company_id, NOW + KEPT) == 1
    for table in ("export_package", "export_step", "export_chunk", "export_link"):
        assert await count(world, table) == 0

    assert await service.forget_keys(world.vault, company_id, NOW + KEPT) == 0
    assert await service.forget_keys(world.vault, company_id, NOW + KEPT + timedelta(days=2)) == 1
    assert world.vault.held(company_id, driver_id, Category.EXPORT, at=NOW) is None


async def test_erasing_a_driver_takes_it_along_also_while_it_is_made(world: World) -> None:
    clock, company_id, driver_id = Clock(), world.company_id, world.driver.member_id
    export_id = await asked(world, driver_id, clock)
    run = await _run(world, export_id, clock)

    async with db.tenant(world.pool, company_id) as conn:
        assert await service.erase(conn, company_id, driver_id) == 1

    with pytest.raises(RunLost):
        await run.go()
    for table in ("export_package", "export_step", "export_chunk"):
        assert await count(world, table) == 0


async def test_a_part_that_was_moved_or_changed_does_not_open(world: World) -> None:
    clock = Clock()
    export_id = await asked(world, world.driver.member_id, clock)
    assert await make(world, export_id, clock)
    await _swap(world.owner)

    with pytest.raises(InvalidTag):
        await content(world, await stored(world, export_id))


async def _swap(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await owner.execute(
        "UPDATE export_chunk SET sealed = (SELECT sealed FROM export_chunk WHERE place = 1"
        " AND number = 0) WHERE place = 0 AND number = 0"
    )


@pytest.mark.parametrize("language", list(Locale))
async def test_it_speaks_the_drivers_language(world: World, language: Locale) -> None:
    await world.owner.execute("UPDATE member SET locale = $1", language.value)

    opened = files(await package(world, world.driver.member_id))

    first = {"en": "YOUR DATA", "ru": "ВАШИ ДАННЫЕ", "kk": "ДЕРЕКТЕРІҢІЗ"}[language.value]
    text = opened["README.txt"].decode("utf-8-sig")
    assert first in text.split("\r\n")[0]
    assert "{" not in text
