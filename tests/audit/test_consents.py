"""Consent records are compared with the ledger, also of people who are being erased."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from server.audit.command import counterparts
from server.audit.consents import ConsentRecords
from server.consent import service as consent
from server.consent.model import ConsentItem
from server.erasure.model import Outcome, Step
from server.erasure_decisions import service as decisions
from server.erasure_decisions.service import Refusal
from server.gate import service as gate
from server.holds.model import Ground, HeldCategory
from server.holds.model import Reason as HoldReason
from server.holds.service import NewHold
from server.kit import db
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, ActorKind, Place
from server.ledger.verify import Reason, Verdict, verify
from tests.consent.acts import give, withdraw
from tests.consent.people import ALL, new_driver
from tests.erasure import test_saga as saga
from tests.erasure.person import add_person
from tests.world import NOW, World, begin_erasing


async def verdict(world: World) -> Verdict:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await verify(
            conn,
            world.company_id,
            public_keys=world.vault.public_keys(),
            counterparts=counterparts(NOW),
        )


async def indexes(world: World, driver_id: UUID) -> list[int]:
    rows = await world.owner.fetch(
        "SELECT ledger_index FROM consent_record WHERE driver_id = $1 ORDER BY 1", driver_id
    )
    return [row["ledger_index"] for row in rows]


async def written(world: World, act: Act, driver_id: UUID, **facts: str) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await ledger.append(
            conn,
            world.company_id,
            act,
            actor=SYSTEM,
            subject_id=driver_id,
            facts=facts,
            now=NOW,
        )


async def erased(world: World, driver_id: UUID) -> None:
    await begin_erasing(world, driver_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await consent.erase(conn, world.company_id, driver_id)


async def test_what_the_service_writes_is_sound(world: World) -> None:
    driver = await new_driver(world, *ALL)
    for _ in range(2):
        await withdraw(world, driver, ConsentItem.LOCATION)
        await give(world, driver, ConsentItem.LOCATION)

    found = await verdict(world)

    assert len(await indexes(world, driver.member_id)) == len(ALL) + 4
    assert (found.sound, found.remarks) == (True, ())


async def test_records_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.audit.consents.PAGE", 2)
    monkeypatch.setattr("server.ledger.verify.PAGE", 3)
    first = await new_driver(world, *ALL)
    last = await new_driver(world, *ALL)
    before = await verdict(world)

    await world.owner.execute(
        "DELETE FROM consent_record WHERE driver_id = $1 AND item = 'plan_fact'", last.member_id
    )

    after = await verdict(world)
    assert before.sound
    assert after.reason is Reason.CONSENT
    assert after.first_bad_index not in await indexes(world, last.member_id)
    assert (after.first_bad_index or 0) > max(await indexes(world, first.member_id))


@pytest.mark.parametrize(
    ("act", "facts", "is_sound"),
    [
        (Act.ERASURE_REQUESTED, {"state": "grace"}, True),
        (Act.ERASURE_REQUESTED, {"state": "erasing"}, True),
        (Act.ERASURE_DECIDED, {"outcome": "approve"}, True),
        (Act.MEMBER_ERASED, {}, True),
        (Act.ERASURE_REQUESTED, {"state": "open"}, False),
        (Act.ERASURE_DECIDED, {"outcome": "refuse"}, False),
        (Act.MEMBER_BLOCKED, {}, False),
    ],
)
async def test_records_are_gone_only_of_who_is_erased_by_the_ledger(
    world: World, act: Act, facts: dict[str, str], *, is_sound: bool
) -> None:
    driver = await new_driver(world, *ALL)
    first = min(await indexes(world, driver.member_id))
    await written(world, act, driver.member_id, **facts)

    await erased(world, driver.member_id)

    found = await verdict(world)
    assert found.sound is is_sound
    assert found.first_bad_index == (None if is_sound else first)


@pytest.mark.parametrize("grace_s", [0, 30])
async def test_an_erasure_that_is_half_done_is_sound(world: World, grace_s: int) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = $1", grace_s)
    person = await add_person(world)
    assert len(await indexes(world, person.driver_id)) > 1
    request = await saga.ask(world, person)

    with pytest.raises(saga.Crash):
        await saga.run(world, request, crash_at=f"{Step.ERASE_CONSENT}.done")

    assert await indexes(world, person.driver_id) == []
    assert (await verdict(world)).sound


CLAIM = HoldReason(ground=Ground.LEGAL_CLAIM, until=NOW + timedelta(days=20))


async def test_what_is_removed_after_a_refusal_in_the_grace_is_found(world: World) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = 3600")
    person = await add_person(world)
    request = await saga.ask(world, person)
    async with gate.stopping(world.pool, world.company_id, person.driver_id, now=NOW) as conn:
        await decisions.decide(
            conn,
            world.company_id,
            request.request_id,
            Outcome.REFUSE,
            Refusal(items=[NewHold(category=HeldCategory.TRACK, reason=CLAIM)]),
            by=Actor(kind=ActorKind.MAIN_USER, member_id=uuid7()),
            now=NOW,
        )
    before = await verdict(world)
    withdrawn = "FROM consent_record WHERE driver_id = $1 AND state = 'withdrawn'"
    first = await world.owner.fetchval(f"SELECT min(ledger_index) {withdrawn}", person.driver_id)

    # The consents read as given again, and what is left looks as after an erasure.
    await world.owner.execute(
        "INSERT INTO consent_commitment (company_id, commitment)"
        f" SELECT company_id, sha256(nonce || convert_to(record, 'UTF8')) {withdrawn}",
        person.driver_id,
    )
    await world.owner.execute(f"DELETE {withdrawn}", person.driver_id)

    found = await verdict(world)
    assert before.sound
    assert (found.first_bad_index, found.reason) == (first, Reason.CONSENT)


@pytest.mark.parametrize(
    ("act", "facts"),
    [
        (Act.ERASURE_CANCELLED, {"requested_by": "driver"}),
        (Act.ERASURE_DECIDED, {"outcome": "refuse", "ground": "legal_claim"}),
    ],
)
async def test_after_an_erasure_is_called_off_the_records_have_to_be_there(
    world: World, act: Act, facts: dict[str, str]
) -> None:
    driver = await new_driver(world, *ALL)
    first = min(await indexes(world, driver.member_id))
    await written(world, Act.ERASURE_REQUESTED, driver.member_id, state="grace")
    await written(world, act, driver.member_id, **facts)
    assert (await verdict(world)).sound

    await erased(world, driver.member_id)

    found = await verdict(world)
    assert (found.first_bad_index, found.reason) == (first, Reason.CONSENT)


async def test_who_was_approved_after_a_refusal_is_erased_rightly(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await written(world, Act.ERASURE_DECIDED, driver.member_id, outcome="refuse")
    await written(world, Act.ERASURE_DECIDED, driver.member_id, outcome="approve")

    await erased(world, driver.member_id)

    assert (await verdict(world)).sound


async def test_consents_older_than_records_are_counted_and_not_compared(world: World) -> None:
    around = world.owner.transaction()
    await around.start()
    try:
        # They are refused since, and were not then.
        await world.owner.execute("ALTER TABLE consent_record DROP CONSTRAINT consent_record_whole")
        await world.owner.execute(
            "INSERT INTO consent_record (company_id, driver_id, item, version, record_id, state,"
            " actor, epoch, recorded_at)"
            " VALUES ($1, $2, 'marketing', 1, gen_random_uuid(), 'declined', 'driver', 1, $3)",
            world.company_id,
            world.driver.member_id,
            NOW,
        )
        found = await verify(
            world.owner, world.company_id, public_keys={}, counterparts=[ConsentRecords()]
        )
    finally:
        await around.rollback()

    assert found.sound
    assert found.remarks == ("1 consents older than records",)


def without_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bind consents as before: by their record alone."""
    append = ledger.append

    async def as_before(*args: Any, facts: dict[str, Any], **more: Any) -> Place:
        return await append(*args, facts={k: v for k, v in facts.items() if k != "row"}, **more)

    monkeypatch.setattr(ledger, "append", as_before)


@pytest.mark.parametrize(
    ("change", "is_sound"),
    [
        ("epoch = epoch", True),
        ("state = 'declined'", False),
        ("record = record || ' '", False),
        ("epoch = epoch + 1", False),
    ],
)
async def test_of_entries_that_bind_the_record_alone_that_is_compared(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str, *, is_sound: bool
) -> None:
    without_row(monkeypatch)
    driver = await new_driver(world, ALL[0])
    (index,) = await indexes(world, driver.member_id)

    await world.owner.execute(
        f"UPDATE consent_record SET {change} WHERE driver_id = $1",  # noqa: S608 - our own words
        driver.member_id,
    )

    found = await verdict(world)
    assert found.first_bad_index == (None if is_sound else index)


@pytest.mark.parametrize("is_exchanged", [False, True])
async def test_of_entries_that_bind_the_record_alone_the_record_says_whose_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_exchanged: bool
) -> None:
    without_row(monkeypatch)
    driver, other = await new_driver(world, ALL[0]), await new_driver(world)
    (index,) = await indexes(world, driver.member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        both = [driver.member_id, other.member_id]
        await ledger.pseudonyms(conn, world.company_id, both, NOW)

    if is_exchanged:
        # The record goes to a colleague, and the driver's pseudonym with it.
        await world.owner.execute(
            "UPDATE consent_record SET driver_id = $2 WHERE driver_id = $1", *both
        )
        await world.owner.execute("DELETE FROM ledger_subject WHERE member_id = $1", both[1])
        await world.owner.execute(
            "UPDATE ledger_subject SET member_id = $2 WHERE member_id = $1", *both
        )

    found = await verdict(world)
    expected = (index, Reason.CONSENT) if is_exchanged else (None, None)
    assert (found.first_bad_index, found.reason) == expected
