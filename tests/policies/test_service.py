"""Publishing, telling, suspending what was added, accepting."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from server.accounts.model import Locale
from server.gate.model import GateMissing
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.policies import service
from server.policies.model import (
    Acceptance,
    AddedItem,
    ChangeClass,
    Document,
    DocumentMissing,
    Edition,
    EditionOrder,
    EditionOutdated,
    EditionTaken,
    Shown,
)
from tests.delivery.stage import deliverer_over
from tests.policies.acts import bare_company, entries, publish, told
from tests.world import CONSENTED, NOW, World, add_member, begin_erasing

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


async def in_force(
    world: World,
    at: datetime = NOW,
    document: Document = Document.DRIVER_NOTICE,
    language: Locale = Locale.RU,
) -> Shown:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await service.in_force(conn, world.company_id, document, at, language=language)


async def test_a_company_without_texts_has_nothing_in_force(world: World) -> None:
    with pytest.raises(DocumentMissing):
        await in_force(world)


async def test_our_texts_are_in_force_at_once_and_shipped_once(shipped: World) -> None:
    async with db.tenant(shipped.pool, shipped.company_id) as conn:
        again = await service.ship(conn, shipped.company_id, NOW)

    assert again == 0
    for document in Document:
        for language in Locale:
            shown = await in_force(shipped, CONSENTED, document, language)
            assert shown.edition.edition == 1
            assert shown.text == service.shipped(document)[language]
    with pytest.raises(DocumentMissing):
        await in_force(shipped, CONSENTED - timedelta(microseconds=1))


async def test_processes_that_start_together_ship_once(world: World) -> None:
    async def ship() -> int:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await service.ship(conn, world.company_id, NOW)

    assert sum(await asyncio.gather(*(ship() for _ in range(4)))) == len(Document)
    assert len(await entries(world, "edition_published")) == len(Document)


async def test_a_new_edition_comes_into_force_thirty_days_after_the_notice_and_not_before(
    shipped: World,
) -> None:
    made = await publish(shipped)
    soonest = NOW + 30 * DAY

    before = await in_force(shipped, soonest - timedelta(microseconds=1))
    after = await in_force(shipped, soonest)

    assert made.effective_at == soonest
    assert (before.edition.edition, after.edition) == (1, made)


async def test_everybody_is_told_of_an_edition_when_it_is_published(shipped: World) -> None:
    dispatcher = await add_member(
        shipped.vault, shipped.pool, shipped.company_id, role="dispatcher"
    )
    invited = await add_member(shipped.vault, shipped.pool, shipped.company_id, role="driver")
    leaving = await add_member(shipped.vault, shipped.pool, shipped.company_id, role="driver")
    for member_id, state in ((invited, "invited"), (leaving, "erasing")):
        await shipped.owner.execute(
            "UPDATE member SET state = $2 WHERE member_id = $1", member_id, state
        )
    first = set(await told(shipped))

    await publish(shipped)

    members = {shipped.driver.member_id, dispatcher, invited}
    assert set(await told(shipped)) - first == {(one, "driver_notice:2") for one in members}
    assert first == {(shipped.driver.member_id, f"{document.value}:1") for document in Document}
    queued = await shipped.owner.fetch("SELECT member_id FROM notice WHERE queued_at = $1", NOW)
    assert {row["member_id"] for row in queued} == members


@pytest.mark.proves("relog-service:8.1")
async def test_who_joins_before_an_edition_is_in_force_is_told_of_it_once(shipped: World) -> None:
    made = await publish(shipped)
    ids = (shipped.vault, shipped.pool, shipped.company_id)
    joined = await add_member(*ids, role="driver")
    before = await told(shipped)

    for at in (NOW + MINUTE, NOW + 2 * MINUTE):
        await tell_newcomers(shipped, at)
    late = await add_member(*ids, role="driver")
    await tell_newcomers(shipped, made.effective_at)

    news = await told(shipped)
    for one in before:
        news.remove(one)
    # Of what is in force already they are asked as they join: that is no news.
    assert news == [(joined, "driver_notice:2")]
    assert late not in {member_id for member_id, _ in news}


async def tell_newcomers(world: World, now: datetime) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.tell_newcomers(conn, world.company_id, now)


@pytest.mark.proves("relog-service:8.1")
async def test_every_member_has_evidence_of_delivery_before_an_edition_is_in_force(
    shipped: World,
) -> None:
    made = await publish(shipped)
    deliverer = deliverer_over(shipped, {})

    for row in await shipped.owner.fetch("SELECT notice_id FROM notice"):
        await deliverer.deliver(shipped.company_id, row["notice_id"], NOW + MINUTE)

    members = {row["member_id"] for row in await shipped.owner.fetch("SELECT * FROM member")}
    evidence = await shipped.owner.fetch(
        "SELECT e.member_id FROM notice_event e JOIN notice n USING (company_id, notice_id)"
        " WHERE n.dedupe = 'driver_notice:2' AND e.event = 'handed_over' AND e.at < $1",
        made.effective_at,
    )
    assert {row["member_id"] for row in evidence} == members


async def test_publishing_stands_in_the_ledger_with_every_hash(shipped: World) -> None:
    made = await publish(shipped, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.CUSTOMER_LINK)
    shown = {
        language.value: (await in_force(shipped, made.effective_at, language=language)).sha256
        for language in Locale
    }

    entry = (await entries(shipped, "edition_published"))[-1]

    assert entry["sha256"] == shown
    assert (entry["document"], entry["edition"]) == ("driver_notice", 2)
    assert (entry["adds_purpose"], entry["about"]) == ("customer_link", None)


async def test_of_two_who_publish_at_once_one_is_told_so(shipped: World) -> None:
    outcomes = await asyncio.gather(publish(shipped), publish(shipped), return_exceptions=True)

    # The slower one either meets the number taken, or looks later and overtakes nobody.
    made = [one for one in outcomes if isinstance(one, Edition)]
    refused = [one for one in outcomes if not isinstance(one, Edition)]
    assert [one.edition for one in made] == [2]
    assert [type(one) in {EditionTaken, EditionOrder} for one in refused] == [True]
    assert await shipped.owner.fetchval("SELECT max(edition) FROM policy_edition") == 2


class Suspended:
    """Notes whom it was called for, as the consents would be suspended."""

    def __init__(self) -> None:
        self.calls: list[tuple[UUID, AddedItem | None]] = []

    async def __call__(
        self, _company_id: UUID, driver_id: UUID, edition: Edition, _now: datetime
    ) -> None:
        self.calls.append((driver_id, edition.adds_purpose))


async def test_what_an_edition_adds_is_suspended_for_every_driver_once_it_is_in_force(
    shipped: World,
) -> None:
    second = await add_member(shipped.vault, shipped.pool, shipped.company_id, role="driver")
    await add_member(shipped.vault, shipped.pool, shipped.company_id, role="dispatcher")
    made = await publish(shipped, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.CUSTOMER_LINK)
    suspended = Suspended()

    early = await service.apply_editions(
        shipped.pool, shipped.company_id, made.effective_at - MINUTE, suspended
    )
    assert (early, suspended.calls) == (0, [])
    applied = await service.apply_editions(
        shipped.pool, shipped.company_id, made.effective_at + MINUTE, suspended
    )
    again = await service.apply_editions(
        shipped.pool, shipped.company_id, made.effective_at + 2 * MINUTE, suspended
    )

    drivers = sorted((shipped.driver.member_id, second))
    assert (applied, again) == (1, 0)
    assert suspended.calls == [(one, AddedItem.CUSTOMER_LINK) for one in drivers]


@pytest.mark.parametrize(
    "change_class", [ChangeClass.MATERIAL, ChangeClass.EDITORIAL, ChangeClass.PROTECTIVE]
)
async def test_an_edition_that_adds_no_purpose_suspends_nothing(
    shipped: World, change_class: ChangeClass
) -> None:
    made = await publish(shipped, change_class)
    suspended = Suspended()

    assert not await service.apply_editions(
        shipped.pool, shipped.company_id, made.effective_at, suspended
    )
    assert suspended.calls == []


async def test_an_edition_that_could_not_be_applied_to_all_is_tried_again(
    shipped: World,
) -> None:
    made = await publish(shipped, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.PLAN_FACT)

    async def fail(*_: object) -> None:
        raise ConnectionError

    ids, late = (shipped.pool, shipped.company_id), made.effective_at + MINUTE
    with pytest.raises(ConnectionError):
        await service.apply_editions(*ids, late, fail)

    async def gone(*_: object) -> None:
        raise GateMissing

    assert await service.apply_editions(*ids, late, gone)


async def test_an_edition_is_applied_until_a_minute_after_it_came_into_force(
    shipped: World,
) -> None:
    made = await publish(shipped, ChangeClass.ADDS_PURPOSE, purpose=AddedItem.PLAN_FACT)
    suspended = Suspended()

    applied = [
        await service.apply_editions(
            shipped.pool, shipped.company_id, made.effective_at + seconds * SECOND, suspended
        )
        for seconds in (0, 59, 60, 61)
    ]

    assert applied == [0, 0, 1, 0]
    assert len(suspended.calls) == 3  # of the one driver


async def accept(world: World, shown: Shown, now: datetime = NOW) -> None:
    member_id = world.driver.member_id
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.accept(
            conn,
            world.company_id,
            Acceptance(
                member_id=member_id,
                document=shown.edition.document,
                edition=shown.edition.edition,
                language=shown.language,
                sha256=shown.sha256,
                accepted_at=now,
            ),
            actor=Actor(kind=ActorKind.DRIVER, member_id=member_id),
        )


async def test_an_edition_to_come_can_be_accepted_and_an_old_one_cannot(shipped: World) -> None:
    first = await in_force(shipped)
    made = await publish(shipped)
    coming = await in_force(shipped, made.effective_at)

    await accept(shipped, coming)
    with pytest.raises(EditionOutdated):
        await accept(shipped, first, made.effective_at)

    await accept(shipped, coming, made.effective_at)
    accepted = await shipped.owner.fetch("SELECT edition, accepted_at FROM policy_acceptance")
    assert [tuple(row) for row in accepted] == [(2, NOW)]


async def test_an_acceptance_stands_in_the_ledger_once(shipped: World) -> None:
    shown = await in_force(shipped)

    await accept(shipped, shown)
    await accept(shipped, shown, NOW + DAY)

    assert await entries(shipped, "edition_accepted") == [
        {
            "document": "driver_notice",
            "edition": 1,
            "language": "ru",
            "sha256": shown.sha256,
            "clarifications_answered": 0,
            "clarifications_open": 0,
            "by": "driver",
            "about": shipped.driver.member_id,
        }
    ]


async def test_erasing_a_member_deletes_their_acceptances_alone(shipped: World) -> None:
    await accept(shipped, await in_force(shipped))
    other = uuid7()
    await shipped.owner.execute(
        "INSERT INTO policy_acceptance (company_id, member_id, document, edition, language, sha256,"
        " accepted_at) SELECT company_id, $1, document, edition, language, sha256,"
        " accepted_at FROM policy_acceptance",
        other,
    )
    await begin_erasing(shipped, shipped.driver.member_id)

    async with db.tenant(shipped.pool, shipped.company_id) as conn:
        deleted = await service.erase(conn, shipped.company_id, shipped.driver.member_id)

    assert deleted == 1
    assert await shipped.owner.fetchval("SELECT member_id FROM policy_acceptance") == other


async def test_one_company_sees_nothing_of_anothers_policies(shipped: World, world: World) -> None:
    other = await bare_company(world.vault, world.owner)
    async with db.tenant(world.pool, other) as conn:
        assert await service.standings(conn, shipped.company_id, NOW) == []
        assert await service.standings(conn, other, NOW) == []
