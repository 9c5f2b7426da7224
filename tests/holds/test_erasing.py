"""An erasure under a hold: the rest goes, what is held opens, and ends as any other erasure."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from server.erasure import saga
from server.erasure.model import Request, State, Step, kept_steps
from server.holds import service as holds
from server.holds.model import Ground, HeldCategory, HoldTooLate, Reason
from server.holds.service import NewHold
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.retention.service import forget_old_tracks
from server.vault.model import Category
from tests.certificates.conftest import Exchange, Issue, exchange, issue
from tests.data_map.catalogue import Mapped, columns, read
from tests.erasure.person import Person, add_person, opened, tables_naming
from tests.erasure.test_places import STAFF
from tests.erasure.test_saga import LATER, Crash, ask, run
from tests.erasure.test_saga import read as progress
from tests.told import told
from tests.world import NOW, World

__all__ = ["exchange", "issue"]

UNTIL = NOW + timedelta(days=30)
BOSS = Actor(kind=ActorKind.MAIN_USER)


async def hold(
    world: World, person: Person, *categories: HeldCategory, until: datetime = UNTIL
) -> list[UUID]:
    ids = []
    for category in categories:
        async with db.tenant(world.pool, world.company_id) as conn:
            reason = Reason(ground=Ground.LEGAL_CLAIM, until=until)
            new = NewHold(category=category, reason=reason, hold_id=uuid7())
            made = await holds.ask(conn, world.company_id, person.driver_id, new, by=BOSS, now=NOW)
            ids.append(made.hold_id)
    return ids


async def release(world: World, hold_ids: Sequence[UUID]) -> None:
    for hold_id in hold_ids:
        async with db.tenant(world.pool, world.company_id) as conn:
            await holds.release(conn, world.company_id, hold_id, by=BOSS, now=LATER)


async def run_due(world: World, at: datetime = LATER) -> int:
    return await saga.run_due(world.pool, world.vault, world.company_id, at)


async def state(world: World, request: Request) -> State:
    return (await progress(world, request))[0]


async def keys(world: World, person: Person, category: Category) -> list[UUID]:
    return await world.vault.key_ids(world.company_id, person.driver_id, [category])


async def whole_rows(world: World, person: Person) -> dict[tuple[str, str], int]:
    """Return how many rows of each column that names the person, or is theirs by its table."""
    rows = {}
    for table in await tables_naming(world.owner, person.driver_id):
        rows[table, ""] = await world.owner.fetchval(
            f"SELECT count(*) FROM {table} t WHERE position($1 in t::text) > 0",  # noqa: S608 - its own names
            str(person.driver_id),
        )
    return rows


async def mapped(world: World, table: str) -> list[Mapped]:
    found = [one for one in await columns(world.owner, "main") if f"public.{one.table}" == table]
    return [read(one) for one in found]


@pytest.mark.proves("relog-service:6.3", "relog-service:3.5b")
async def test_the_rest_goes_what_is_held_opens_and_goes_when_it_is_released(
    world: World, exchange: Exchange
) -> None:
    person = await add_person(world)
    chunk, report = person.sealed[4], person.sealed[5]
    held = await hold(world, person, HeldCategory.TRACK)
    request = await ask(world, person)

    assert await run_due(world) == 0

    assert await state(world, request) is State.HELD
    assert await run_due(world) == 0
    await exchange()  # and the keys of what is held live on under new ones
    readable, gone = await world.vault.open_texts(world.company_id, [chunk, report])
    assert readable is not None
    assert gone is None
    tables = await tables_naming(world.owner, person.driver_id)
    assert {"public.chunk", "public.member", "public.hold"} <= tables
    assert tables.isdisjoint(
        {"public.plan_fact_report", "public.alert", "public.route", "public.consent_record"}
    )
    assert len(await keys(world, person, Category.TRACK)) == 1
    assert await keys(world, person, Category.REPORT) == []
    kind, said = (await told(world, person.driver_id))[-1]
    assert (kind, said["categories"]) == ("erasure_held", "track")

    await release(world, held)
    assert await run_due(world) == 1

    assert await state(world, request) is State.ERASED
    assert set(await opened(world.vault, world.company_id, person)) == {None}
    assert await tables_naming(world.owner, person.driver_id) == {"public.erasure_request"}


async def test_control_without_the_hold_the_same_erasure_takes_it(world: World) -> None:
    person = await add_person(world)
    await release(world, await hold(world, person, HeldCategory.TRACK))
    await ask(world, person)

    assert await run_due(world) == 1

    assert set(await opened(world.vault, world.company_id, person)) == {None}


async def test_at_its_date_the_erasure_goes_on_by_itself(world: World) -> None:
    person = await add_person(world)
    await hold(world, person, HeldCategory.REPORT, HeldCategory.TRACK)
    request = await ask(world, person)
    await run_due(world)

    assert await run_due(world, UNTIL - timedelta(seconds=1)) == 0
    assert await state(world, request) is State.HELD
    assert await run_due(world, UNTIL) == 1
    assert await state(world, request) is State.ERASED


@pytest.mark.parametrize("category", HeldCategory)
async def test_no_column_of_a_held_category_is_taken_and_the_others_are(
    world: World, category: HeldCategory
) -> None:
    person = await add_person(world)
    before = await whole_rows(world, person)
    await hold(world, person, category)
    request = await ask(world, person)
    await run_due(world)

    after = await whole_rows(world, person)
    kept = kept_steps({category})
    _, done = await progress(world, request)
    assert kept.isdisjoint(done)
    for (table, _), rows in before.items():
        found = await mapped(world, table)
        steps = {one.eraser for one in found if one.eraser in set(Step)}
        # Who of the staff did it goes with what they did, which may be another class.
        own = [one for one in found if (one.column.table, one.column.name) not in STAFF]
        of_it = {one.eraser for one in own if one.category == category} & steps
        assert of_it <= kept | {Step.END_SESSIONS}, (table, of_it)
        if of_it and Step.END_SESSIONS not in of_it:
            assert after.get((table, ""), 0) >= rows, table
        if steps and steps.isdisjoint(kept):
            assert (table, "") not in after, table


async def test_what_the_job_takes_already_can_be_held_no_more_but_what_is_held_longer(
    world: World,
) -> None:
    person = await add_person(world)
    held = await hold(world, person, HeldCategory.TRACK)
    await ask(world, person)
    await run_due(world)

    with pytest.raises(HoldTooLate):
        await hold(world, person, HeldCategory.REPORT)
    later = UNTIL + timedelta(days=9)
    async with db.tenant(world.pool, world.company_id) as conn:
        reason = Reason(ground=Ground.LEGAL_CLAIM, until=later)
        await holds.place(
            conn, world.company_id, held[0], reason, evidence_sealed=None, by=BOSS, now=LATER
        )

    assert await run_due(world, UNTIL) == 0
    assert await run_due(world, later) == 1


@pytest.mark.parametrize(
    "place",
    [
        "close_gate.done",
        "erase_reports.worked",
        "erase_consent.done",
        "part.noted",
        "part.destroyed",
    ],
)
async def test_after_a_crash_the_part_ends_as_if_there_had_been_none(
    world: World, place: str
) -> None:
    person, other = await add_person(world, 1), await add_person(world, 2)
    for one in (person, other):
        await hold(world, one, HeldCategory.TRACK)
    undisturbed, request = await ask(world, other), await ask(world, person)
    await saga.run(world.pool, world.vault, world.company_id, undisturbed.request_id, LATER)

    with pytest.raises(Crash):
        await run(world, request, crash_at=place)
    assert await state(world, request) is State.ERASING
    await run(world, request)

    assert await progress(world, request) == await progress(world, undisturbed)
    assert await keys(world, person, Category.REPORT) == []
    assert len(await keys(world, person, Category.TRACK)) == 1


async def test_age_takes_nothing_that_is_held_nor_its_keys(world: World) -> None:
    person, other = await add_person(world, 1), await add_person(world, 2)
    much_later = NOW + timedelta(days=200)
    await hold(world, person, HeldCategory.TRACK, until=NOW + timedelta(days=300))

    await forget_old_tracks(world.pool, world.vault, world.company_id, much_later)

    chunk = "SELECT count(*) FROM chunk WHERE driver_id = $1"
    assert await world.owner.fetchval(chunk, person.driver_id) == 1
    assert len(await keys(world, person, Category.TRACK)) == 1
    counters = "SELECT count(*) FROM refusal_count WHERE driver_id = $1"
    assert await world.owner.fetchval(counters, person.driver_id) == 1
    # The control: of whom nothing is held, all of it went.
    assert await world.owner.fetchval(chunk, other.driver_id) == 0
    assert await keys(world, other, Category.TRACK) == []
    assert await world.owner.fetchval(counters, other.driver_id) == 0


async def test_the_certificate_says_what_was_held_and_names_every_key(
    world: World, exchange: Exchange, issue: Issue
) -> None:
    person = await add_person(world)
    had = await world.vault.key_ids(world.company_id, person.driver_id)
    held = await hold(world, person, HeldCategory.TRACK)
    await ask(world, person)
    await run_due(world)
    await release(world, held)
    await run_due(world)
    await exchange()

    assert await issue(world) == 1

    made = json.loads(await world.owner.fetchval("SELECT document FROM erasure_certificate"))
    assert [(one["category"], one["ground"]) for one in made["held"]["items"]] == [
        ("track", "legal_claim")
    ]
    assert {str(one) for one in had} <= set(made["keys_destroyed"])
    assert made["erased"]["keys"] == len(made["keys_destroyed"])
