"""The erasing job: what it leaves, and that no crash changes that."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from server.credentials.model import Role
from server.erasure import saga, service, store
from server.erasure.model import (
    ErasureActRefused,
    ErasureMissing,
    NotErased,
    Request,
    State,
    Step,
)
from server.gate import service as gate
from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.erasure.calls import agree
from tests.erasure.life import count_refusal
from tests.erasure.person import (
    Person,
    add_person,
    everything,
    opened,
    sql_dump,
    tables_naming,
    traces,
)
from tests.world import NOW, World, add_company

PLACES = [f"{step}.{moment}" for step in Step for moment in ("begun", "worked", "done")]
LATER = NOW + timedelta(minutes=1)


class Crash(Exception):
    pass


async def ask(world: World, person: Person, by: Role = Role.DISPATCHER) -> Request:
    company_id, driver_id = world.company_id, person.driver_id
    actor = Actor(kind=ActorKind(by.value), member_id=driver_id if by is Role.DRIVER else None)
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        asked = await service.ask(conn, company_id, driver_id, by=actor, reason=None, now=NOW)
        return asked if by is Role.DRIVER else await agree(conn, company_id, asked)


async def run(world: World, request: Request, *, crash_at: str | None = None) -> None:
    def failpoint(place: str) -> None:
        if place == crash_at:
            raise Crash

    await saga.run(
        world.pool, world.vault, world.company_id, request.request_id, LATER, failpoint=failpoint
    )


async def read(world: World, request: Request) -> tuple[State, dict[Step, int]]:
    """Return the request's state and what each step that is done has removed."""
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await store.request(conn, world.company_id, request.request_id)
        done = await service.steps(conn, world.company_id, [request.request_id])
    assert found is not None
    return found.state, {
        one.step: one.rows for one in done[request.request_id] if one.done_at is not None
    }


async def tenant_tables(world: World, person: Person) -> set[str]:
    return await tables_naming(world.owner, person.driver_id)


@pytest.mark.proves("qoldau:14-removal")
async def test_after_an_erasure_nothing_of_the_person_can_be_read_anywhere(
    world: World, databases: Databases, keys_pool: Pool, kek_file: Path
) -> None:
    person = await add_person(world)
    before = await opened(world.vault, world.company_id, person)
    # The control: the scanner finds every canary, and every digest, while the person is there.
    assert all(any(canary in (text or "") for text in before) for canary in person.canaries)
    assert len(traces(person, await sql_dump(databases.main))) == len(person.digests) + len(
        person.blobs
    )
    assert await tenant_tables(world, person) > {"public.member", "public.chunk", "public.route"}

    await run(world, await ask(world, person))

    fresh = await open_vault(keys_pool, load(kek_file), NOW)
    assert set(await opened(fresh, world.company_id, person)) == {None}
    assert set(await opened(world.vault, world.company_id, person)) == {None}
    rows = await everything(world.owner)
    assert traces(person, "\n".join(row for table in rows.values() for row in table)) == []
    assert traces(person, await sql_dump(databases.main)) == []
    assert traces(person, await sql_dump(databases.keys)) == []
    assert await tenant_tables(world, person) == {"public.erasure_request"}


@pytest.mark.proves("qoldau:14-removal")
async def test_every_table_that_can_name_a_driver_is_in_the_test_and_gets_emptied(
    world: World,
) -> None:
    person = await add_person(world)
    async with db.tenant(world.pool, world.company_id) as conn:
        places = await store.places(conn)
        for place in places:
            counted = await store.count_rows(conn, place, world.company_id, person.driver_id)
            assert counted > 0, f"the test leaves no trace in {place.table}.{place.column}"

    await run(world, await ask(world, person))

    async with db.tenant(world.pool, world.company_id) as conn:
        for place in places:
            assert await store.count_rows(conn, place, world.company_id, person.driver_id) == 0


async def test_the_route_goes_on_without_the_driver(world: World) -> None:
    person = await add_person(world)

    await run(world, await ask(world, person))

    assert await world.owner.fetchval("SELECT count(*) FROM route WHERE driver_id IS NULL") == 1


async def test_other_drivers_and_other_companies_are_untouched(world: World) -> None:
    person, other = await add_person(world, 1), await add_person(world, 2)
    elsewhere = World(
        vault=world.vault,
        pool=world.pool,
        owner=world.owner,
        company_id=await add_company(world.vault, world.owner),
        driver=world.driver,
    )
    same_human = await add_person(elsewhere, 1)
    neighbours = (other.driver_id, same_human.driver_id)

    def of_neighbours(rows: dict[str, list[str]]) -> dict[str, list[str]]:
        return {
            table: sorted(row for row in found if any(str(one) in row for one in neighbours))
            for table, found in rows.items()
        }

    before = of_neighbours(await everything(world.owner))

    await run(world, await ask(world, person))

    assert of_neighbours(await everything(world.owner)) == before
    assert sum(map(len, before.values())) > 20
    assert None not in await opened(world.vault, world.company_id, other)
    assert None not in await opened(world.vault, elsewhere.company_id, same_human)
    directory = await world.owner.fetch("SELECT company_id FROM login_directory")
    assert sorted(row["company_id"] for row in directory) == sorted(
        [world.company_id] * 2 + [elsewhere.company_id] * 2
    )


async def test_the_job_passes_every_place_where_it_could_crash(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    passed: list[str] = []

    await saga.run(
        world.pool,
        world.vault,
        world.company_id,
        request.request_id,
        LATER,
        failpoint=passed.append,
    )

    assert passed == PLACES
    state, done = await read(world, request)
    assert (state, list(done)) == (State.ERASED, list(Step))


@pytest.mark.parametrize("place", PLACES)
async def test_after_a_crash_the_next_run_ends_as_if_there_had_been_none(
    world: World, place: str
) -> None:
    person, whole = await add_person(world, 1), await add_person(world, 2)
    undisturbed = await ask(world, whole)
    await run(world, undisturbed)
    request = await ask(world, person)

    with pytest.raises(Crash):
        await run(world, request, crash_at=place)
    finished = place == "verify.done"
    assert (await read(world, request))[0] is (State.ERASED if finished else State.ERASING)
    async with db.tenant(world.pool, world.company_id) as conn:
        due = await saga.due(conn, world.company_id, LATER)
    assert due == ([] if finished else [request.request_id])

    await run(world, request)

    state, done = await read(world, request)
    _, expected = await read(world, undisturbed)
    assert (state, done) == (State.ERASED, expected)
    assert await tenant_tables(world, person) == {"public.erasure_request"}
    assert set(await opened(world.vault, world.company_id, person)) == {None}


async def record_without_work(world: World, request: Request, step: Step) -> None:
    """Be the saga we do not have: one that commits its record before its work, and crashed."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await store.record_step(conn, world.company_id, request.request_id, step, rows=0, at=NOW)


@pytest.mark.parametrize(
    ("step", "table"),
    [
        (Step.ERASE_INCIDENTS, "public.incident_member"),
        (Step.ERASE_DISCLOSURES, "public.disclosure"),
        (Step.ERASE_EXPORTS, "public.export_package"),
        (Step.ERASE_LINKS, "public.customer_link"),
        (Step.ERASE_ALERTS, "public.alert"),
        (Step.ERASE_STOP_EVENTS, "public.stop_event"),
        (Step.ERASE_ATTESTATIONS, "public.attestation"),
        (Step.ERASE_REPORTS, "public.plan_fact_report"),
        (Step.ERASE_ROUTES, "public.route"),
        (Step.ERASE_TRACKING, "public.chunk"),
        (Step.ERASE_DEVICES, "public.device_notice"),
        (Step.ERASE_CONTROLLERS, "public.controller_agreement"),
        (Step.ERASE_CONSENT, "public.consent_record"),
        (Step.ERASE_GUARDIANS, "public.guardian_consent"),
        (Step.ERASE_CLARIFICATIONS, "public.clarification"),
        (Step.ERASE_CORRECTIONS, "public.correction"),
        (Step.ERASE_POLICIES, "public.policy_acceptance"),
        (Step.ERASE_HOLDS, "public.hold"),
        (Step.ERASE_NOTICES, "public.notice"),
        (Step.ERASE_GATE, "public.gate"),
        (Step.ERASE_ACCOUNT, "public.member"),
    ],
)
async def test_control_a_record_without_its_work_leaves_rows_that_verify_finds(
    world: World, step: Step, table: str
) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    await record_without_work(world, request, step)

    with pytest.raises(NotErased):
        await run(world, request)

    # Resuming alone, without verify, would have called this erased.
    assert table in await tenant_tables(world, person)
    assert (await read(world, request))[0] is State.ERASING

    await run(world, request)

    assert (await read(world, request))[0] is State.ERASED
    assert await tenant_tables(world, person) == {"public.erasure_request"}


async def test_what_is_written_behind_the_erasers_is_erased_as_well(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    with pytest.raises(Crash):
        await run(world, request, crash_at="erase_account.done")
    before = (await read(world, request))[1][Step.ERASE_UPLOADS]
    await count_refusal(world, person.driver_id)

    with pytest.raises(NotErased, match="1 rows"):
        await run(world, request)
    await run(world, request)

    state, done = await read(world, request)
    assert (state, done[Step.ERASE_UPLOADS]) == (State.ERASED, before + 1)
    assert await tenant_tables(world, person) == {"public.erasure_request"}


async def test_two_jobs_on_one_request_do_its_steps_once(world: World) -> None:
    person, whole = await add_person(world, 1), await add_person(world, 2)
    undisturbed = await ask(world, whole)
    await run(world, undisturbed)
    request = await ask(world, person)

    await asyncio.gather(*(run(world, request) for _ in range(3)))

    assert await read(world, request) == await read(world, undisturbed)


async def test_an_erased_request_is_final(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    await run(world, request)
    before = await read(world, request)

    await run(world, request)

    assert await read(world, request) == before
    with pytest.raises(ErasureMissing):
        await saga.run(world.pool, world.vault, world.company_id, uuid7(), LATER)


@pytest.mark.parametrize("by", [Role.DRIVER, Role.DISPATCHER])
async def test_nothing_is_erased_before_its_time(world: World, by: Role) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
    person = await add_person(world)
    request = await ask(world, person, by)
    assert request.state is (State.OPEN if by is Role.DRIVER else State.GRACE)

    with pytest.raises(ErasureActRefused):
        await run(world, request)
    assert await run_due(world, minutes=59) == 0

    assert None not in await opened(world.vault, world.company_id, person)


async def run_due(world: World, *, minutes: int) -> int:
    at = NOW + timedelta(minutes=minutes)
    return await saga.run_due(world.pool, world.vault, world.company_id, at)


@pytest.mark.proves("relog-driver-manager-apps:5.2")
async def test_when_the_grace_is_over_the_job_erases_by_itself(world: World) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
    person = await add_person(world)
    request = await ask(world, person)

    assert await run_due(world, minutes=60) == 1

    assert (await read(world, request))[0] is State.ERASED
    assert await run_due(world, minutes=61) == 0


@pytest.fixture
async def two_due(world: World) -> tuple[Person, Request, Request]:
    """Two erasures that are due: the first, of this person, fails once."""
    stuck, fine = await add_person(world, 1), await add_person(world, 2)
    request = await ask(world, stuck)
    await record_without_work(world, request, Step.ERASE_UPLOADS)
    return stuck, request, await ask(world, fine)


async def test_one_erasure_that_fails_does_not_hold_up_the_others(
    world: World, two_due: tuple[Person, Request, Request], caplog: pytest.LogCaptureFixture
) -> None:
    stuck, request, other = two_due
    caplog.set_level(logging.DEBUG)

    assert await run_due(world, minutes=1) == 1
    assert (await read(world, request))[0] is State.ERASING
    assert (await read(world, other))[0] is State.ERASED
    assert traces(stuck, caplog.text) == []

    assert await run_due(world, minutes=2) == 1
    assert (await read(world, request))[0] is State.ERASED


async def test_control_a_failure_that_is_not_caught_holds_up_the_next_erasure(
    world: World, two_due: tuple[Person, Request, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clause looks the name up in its module first: nothing is caught there any more.
    monkeypatch.setattr(saga, "Exception", Crash, raising=False)

    with pytest.raises(NotErased):
        await run_due(world, minutes=1)
    assert (await read(world, two_due[2]))[0] is State.ERASING


async def test_a_request_of_another_company_is_not_there(world: World) -> None:
    person = await add_person(world)
    request = await ask(world, person)
    other: UUID = await add_company(world.vault, world.owner)

    with pytest.raises(ErasureMissing):
        await saga.run(world.pool, world.vault, other, request.request_id, LATER)
    assert await saga.run_due(world.pool, world.vault, other, LATER) == 0
