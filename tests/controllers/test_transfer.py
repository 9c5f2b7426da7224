"""The job: not early, once for each driver, however often and wherever it dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from server.accounts import service as accounts
from server.consent.model import VALID_FOR, ConsentItem
from server.controllers import service, store, transfer
from server.controllers.model import ControllerChangeEarly
from server.gate import service as gate
from server.kit import db
from server.kit.ids import uuid7
from tests.consent.acts import give
from tests.consent.people import ALL, new_driver
from tests.controllers.acts import (
    DUE,
    JUST_BEFORE,
    OPERATOR_BEFORE,
    PROVES,
    TO,
    acts_of,
    agree,
    agreeing,
    announced,
    carried_out,
    gate_of,
    history,
    moves,
    since,
    states,
)
from tests.shifts.test_always import always_on, open_now
from tests.world import CONSENTED, NOW, World, add_driver, add_member

MINUTE = timedelta(minutes=1)
HOURS_720 = timedelta(hours=720)
INSERT = """
    INSERT INTO controller_change (company_id, change_id, name, bin, privacy_contact, noticed_at,
                                   effective_at)
    VALUES ($1, $2, 'Turan Logistics', '210987654321', 'privacy@turan.example', $3, $4)
"""


async def everything(world: World) -> list[Any]:
    """Return who the company is, all consents and gates, and how far changes came."""
    tables = ("company", "policy_controller", "consent_record", "gate", "controller_move")
    return [
        sorted(str(row) for row in await world.owner.fetch(f"SELECT * FROM {table}"))  # noqa: S608 - names above
        for table in tables
    ]


# ---- not early


@PROVES
async def test_before_day_30_the_job_is_refused_and_changes_nothing(world: World) -> None:
    change = await announced(world)
    await agree(world, world.driver, change)
    before = await everything(world)

    for early in (NOW, JUST_BEFORE, DUE - timedelta(microseconds=1)):
        with pytest.raises(ControllerChangeEarly):
            await carried_out(world, change, early)
        assert await transfer.run_due(world.pool, world.company_id, early) == 0

    assert await everything(world) == before
    assert await carried_out(world, change, DUE) == 1
    assert await everything(world) != before


@PROVES
async def test_the_database_refuses_to_apply_it_or_to_move_anybody_before_its_time(
    world: World,
) -> None:
    change = await announced(world)
    company_id = world.company_id

    with pytest.raises(asyncpg.CheckViolationError, match="not_early"):
        async with db.tenant(world.pool, company_id) as conn:
            await store.set_applied(conn, company_id, change.change_id, JUST_BEFORE)
    with pytest.raises(asyncpg.CheckViolationError, match="not_early"):
        async with db.tenant(world.pool, company_id) as conn:
            await store.insert_move(
                conn, company_id, uuid7(), change, kept=[], lapsed=[], at=JUST_BEFORE
            )
    # Nor with a time of its own: it has to be the change's.
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await world.owner.execute(
            "INSERT INTO controller_move (company_id, change_id, driver_id, effective_at, kept,"
            " lapsed, moved_at) VALUES ($1, $2, $3, $4, '{}', '{}', $4)",
            company_id,
            change.change_id,
            uuid7(),
            JUST_BEFORE,
        )


@PROVES
async def test_a_row_that_is_early_is_refused_by_the_database(world: World) -> None:
    for effective_at in (JUST_BEFORE, NOW + HOURS_720 - timedelta(microseconds=1)):
        with pytest.raises(asyncpg.CheckViolationError, match="notice_period"):
            await world.owner.execute(INSERT, world.company_id, uuid7(), NOW, effective_at)
    # The server's role cannot bring an announced one forward either.
    change = await announced(world)
    for column in ("effective_at", "noticed_at", "bin", "name"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.tenant(world.pool, world.company_id) as conn:
                await conn.execute(
                    f"UPDATE controller_change SET {column} = {column} WHERE change_id = $1",  # noqa: S608 - names above
                    change.change_id,
                )


@pytest.fixture
async def unguarded(world: World) -> AsyncIterator[None]:
    """A database whose checks somebody dropped."""
    names = ("controller_change_notice_period", "controller_change_not_early")
    kept = {
        name: await world.owner.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", name
        )
        for name in names
    }
    for name in names:
        await world.owner.execute(f"ALTER TABLE controller_change DROP CONSTRAINT {name}")
    yield
    await world.owner.execute("UPDATE controller_change SET applied_at = NULL, completed_at = NULL")
    await world.owner.execute("DELETE FROM controller_move")
    await world.owner.execute("DELETE FROM controller_told")
    await world.owner.execute("DELETE FROM controller_change")
    for name, definition in kept.items():
        await world.owner.execute(
            f"ALTER TABLE controller_change ADD CONSTRAINT {name} {definition}"
        )


@PROVES
@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize(
    ("noticed_at", "effective_at"),
    [(NOW, JUST_BEFORE), (NOW - HOURS_720, NOW)],
    ids=["early", "dated-back"],
)
async def test_a_forged_row_is_refused_by_the_service_as_well(
    world: World, noticed_at: datetime, effective_at: datetime
) -> None:
    change_id = uuid7()
    await world.owner.execute(INSERT, world.company_id, change_id, noticed_at, effective_at)
    before = await everything(world)

    for told in (False, True):
        if told:  # what the job does for whoever was not told
            async with db.tenant(world.pool, world.company_id) as conn:
                change = await store.change(conn, world.company_id, change_id)
                assert change is not None
                await service.tell(conn, world.company_id, change, now=NOW)
        with pytest.raises(ControllerChangeEarly):
            await transfer.run_due(world.pool, world.company_id, effective_at)
    assert await everything(world) == before


@pytest.mark.usefixtures("unguarded")
async def test_control_without_both_guards_an_early_change_goes_through(world: World) -> None:
    change_id = uuid7()
    await world.owner.execute(INSERT, world.company_id, change_id, NOW, JUST_BEFORE)
    async with db.tenant(world.pool, world.company_id) as conn:
        await store.set_applied(conn, world.company_id, change_id, JUST_BEFORE)

    assert await transfer.run_due(world.pool, world.company_id, JUST_BEFORE) == 1
    assert set((await states(world, world.driver)).values()) == {"superseded"}


# ---- once for each driver


class Crash(BaseException):
    """The process died here."""


def crashing(place: str, *, after: int = 0) -> Callable[[str], None]:
    left = [after]

    def failpoint(reached: str) -> None:
        if reached == place:
            if not left[0]:
                raise Crash
            left[0] -= 1

    return failpoint


@PROVES
@pytest.mark.parametrize(
    "place", ["particulars.changed", "particulars.committed", "driver.moved", "driver.committed"]
)
async def test_a_job_that_dies_halfway_resumes_and_does_everything_once(
    world: World, place: str
) -> None:
    change = await announced(world)
    stay = [await agreeing(world, change) for _ in range(2)]
    silent = [world.driver, await new_driver(world, *ALL)]
    with pytest.raises(Crash):
        await carried_out(world, change, DUE, crashing(place, after=place.startswith("driver")))
    half = await moves(world)

    for minute in (1, 2, 3):  # again and again, as each minute
        await transfer.run_due(world.pool, world.company_id, DUE + minute * MINUTE)

    whole = sorted(one.value for one in ALL)
    done = await moves(world)
    assert len(half) < len(done) == 4
    assert {one: done[one] for one in half} == half
    assert [done[one.member_id] for one in stay] == [(whole, [])] * 2
    assert [done[one.member_id] for one in silent] == [([], whole)] * 2
    for driver in stay:
        records = [one["state"] for one in await history(world, driver)]
        assert records == ["given"] * 3 + ["superseded", "given"] * 3
    for driver in silent:
        records = [one["state"] for one in await history(world, driver)]
        assert records == ["given"] * 3 + ["superseded"] * 3
    told = "SELECT count(*) FROM notice WHERE kind = 'controller_changed'"
    assert await world.owner.fetchval(told) == 4
    assert (await acts_of(world)).count("controller_changed") == 1
    assert await world.owner.fetchval("SELECT completed_at FROM controller_change") is not None
    assert await world.owner.fetchval("SELECT count(*) FROM gate_closing") <= 1  # swept later


async def test_control_without_its_record_a_driver_is_moved_again(world: World) -> None:
    change = await announced(world)
    driver = await agreeing(world, change)
    await carried_out(world, change)
    before = await history(world, driver)
    await world.owner.execute("DELETE FROM controller_move")
    # The record itself says whom it names, so again changes nothing; one that does not is moved.
    await carried_out(world, change)
    assert await history(world, driver) == before

    await world.owner.execute("DELETE FROM controller_move")
    await world.owner.execute(
        "UPDATE consent_record SET record = replace(record, $1, 'Somebody')", TO.name
    )
    await carried_out(world, change)

    assert len(await history(world, driver)) == len(before) + 2 * len(ALL)


async def test_two_jobs_at_once_do_it_once(world: World) -> None:
    change = await announced(world)
    stay = [await agreeing(world, change) for _ in range(3)]

    await asyncio.gather(*(carried_out(world, change) for _ in range(3)))

    for driver in stay:
        assert len(await history(world, driver)) == 3 + 2 * len(ALL)
    assert (await acts_of(world)).count("controller_changed") == 1


async def test_a_driver_who_fails_does_not_hold_up_the_others(world: World) -> None:
    change = await announced(world)
    drivers = sorted([await agreeing(world, change) for _ in range(3)], key=lambda d: d.member_id)
    first = drivers[0].member_id
    await world.owner.execute(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF NEW.driver_id = '{first}' THEN RAISE 'poisoned'; END IF; RETURN NEW; END $$;"
        " CREATE TRIGGER poison BEFORE INSERT ON controller_move"
        " FOR EACH ROW EXECUTE FUNCTION poison()"
    )
    try:
        await carried_out(world, change)
        assert first not in await moves(world)
        assert len(await moves(world)) == 3
        assert await world.owner.fetchval("SELECT completed_at FROM controller_change") is None
    finally:
        await world.owner.execute("DROP FUNCTION poison CASCADE")

    assert await transfer.run_due(world.pool, world.company_id, DUE + MINUTE) == 1
    assert await world.owner.fetchval("SELECT completed_at FROM controller_change") is not None


# ---- what it does to a driver


async def test_the_gate_of_who_agreed_only_counts_up(world: World) -> None:
    change = await announced(world)
    driver = await agreeing(world, change)
    before = await gate_of(world, driver)

    await carried_out(world, change)

    after = await gate_of(world, driver)
    assert since(after) == since(before) == (CONSENTED,) * 3
    assert (after.reach, after.consented_until) == (before.reach, before.consented_until)
    assert (after.epoch, after.rev) == (before.epoch + len(ALL), before.rev)


async def test_what_was_given_and_withdrawn_in_the_window_counts_as_it_is_on_the_day(
    world: World,
) -> None:
    change = await announced(world)
    driver = await new_driver(world, ConsentItem.LOCATION)  # type: ignore[arg-type]  # as a gate's
    await agree(world, driver, change)
    later = NOW + timedelta(days=5)
    await give(world, driver, ConsentItem.PLAN_FACT, later)

    await carried_out(world, change)

    assert await states(world, driver) == {"location": "given", "plan_fact": "given"}
    found = await gate_of(world, driver)
    assert since(found) == (CONSENTED, None, later)


async def test_what_is_given_to_the_new_controller_already_is_left_alone(world: World) -> None:
    change = await announced(world)
    driver = await new_driver(world, *ALL)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.apply(conn, world.company_id, change.change_id, now=DUE)
    await give(world, driver, ConsentItem.CUSTOMER_LINK, DUE)

    await carried_out(world, change, DUE + MINUTE)

    assert await states(world, driver) == {
        **{one.value: "superseded" for one in ALL},
        "customer_link": "given",
    }


async def test_a_consent_that_has_run_out_is_not_carried_on(world: World) -> None:
    change = await announced(world)
    driver = await agreeing(world, change)

    await carried_out(world, change, CONSENTED + VALID_FOR)

    assert set((await states(world, driver)).values()) == {"superseded"}
    assert not (await gate_of(world, driver)).is_consented


async def test_no_window_is_opened_for_a_driver_whom_a_block_had_stopped(world: World) -> None:
    driver = await always_on(world)
    company_id, driver_id = world.company_id, driver.member_id
    change = await announced(world)
    await agree(world, driver, change)
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await gate.close_window(conn, company_id, driver_id, at=NOW)
    assert await open_now(world, driver, NOW + MINUTE) is None

    await carried_out(world, change)

    assert (await gate_of(world, driver)).is_open
    assert await open_now(world, driver, DUE + MINUTE) is None


async def test_whoever_joins_in_the_window_is_told_and_whoever_is_told_is_not_told_again(
    world: World,
) -> None:
    await announced(world)
    new = [
        await add_member(world.vault, world.pool, world.company_id, role="dispatcher"),
        (await add_driver(world.vault, world.pool, world.company_id)).member_id,
    ]
    for day in (1, 2, 3):
        await transfer.run_due(world.pool, world.company_id, NOW + timedelta(days=day))

    rows = await world.owner.fetch("SELECT member_id, told_at FROM controller_told")
    told = {row["member_id"]: row["told_at"] for row in rows}
    assert told == {world.driver.member_id: NOW, **dict.fromkeys(new, NOW + timedelta(days=1))}
    queued = "SELECT count(*) FROM notice WHERE kind = 'controller_change_announced'"
    assert await world.owner.fetchval(queued) == 3


async def test_the_companys_particulars_change_with_it(world: World) -> None:
    change = await announced(world)
    assert OPERATOR_BEFORE["name"] != TO.name
    await carried_out(world, change)

    async with db.tenant(world.pool, world.company_id) as conn:
        assert (await accounts.company(conn, world.company_id)).name == TO.name
    row = await world.owner.fetchrow("SELECT bin, privacy_contact FROM policy_controller")
    assert row is not None
    assert tuple(row) == (TO.bin, TO.privacy_contact)
