"""Editions that add a purpose: they suspend what was agreed to before them, and nothing newer."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from server import settings
from server.accounts.model import Locale
from server.background import jobs_of
from server.consent import service
from server.consent.model import ConsentCell, ConsentItem, NoticeOutdated, NoticeShown
from server.databases import Opened
from server.gate import service as gate
from server.kit import db
from server.kit.db import Connection
from server.policies import service as policies
from server.policies.model import NOTICE_PERIOD, AddedItem, ChangeClass, Document, Edition
from tests.consent.acts import MINUTE, consents, give, read_gate, withdraw
from tests.consent.people import ALL, new_driver
from tests.consents import NOTICE
from tests.http import Clock
from tests.policies.acts import publish
from tests.world import NOW, Driver, World

PLAN_FACT: Final = ConsentItem.PLAN_FACT
IN_FORCE: Final = NOW + NOTICE_PERIOD
THEN: Final = IN_FORCE + MINUTE
SECOND: Final = timedelta(seconds=1)


async def published(
    world: World, *, document: Document = Document.DRIVER_NOTICE, purpose: AddedItem | None = None
) -> Edition:
    """Publish now an edition that comes into force when its notice period is over."""
    return await publish(
        world,
        ChangeClass.ADDS_PURPOSE,
        document=document,
        purpose=purpose or AddedItem.PLAN_FACT,
    )


async def an_old_driver(world: World) -> Driver:
    """Return a driver who agreed to everything before the edition was published."""
    return await new_driver(world, *ALL)


async def in_force(world: World, at: datetime) -> NoticeShown:
    async with db.tenant(world.pool, world.company_id) as conn:
        shown = await policies.in_force(
            conn, world.company_id, Document.DRIVER_NOTICE, at, language=Locale.EN
        )
    return NoticeShown(edition=shown.edition.edition, language=shown.language, sha256=shown.sha256)


Apply = Callable[[datetime], Awaitable[None]]


@pytest.fixture
def apply(opened: Opened) -> Apply:
    """Run the server's own job as it would be run at a time."""

    async def run(now: datetime) -> None:
        await jobs_of(opened, settings.read({}), Clock(now)).every_minute["apply_editions"]()

    return run


async def state(world: World, driver: Driver, item: ConsentItem = PLAN_FACT) -> str:
    found = {one.item: one.state.value for one in (await consents(world, driver)).items}
    return found[item]


async def agreed_just_before_the_job(world: World) -> Driver:
    """Agree to the new edition in the seconds between its coming into force and the job's run."""
    driver = await an_old_driver(world)
    await published(world)
    await give(world, driver, PLAN_FACT, THEN, notice=await in_force(world, THEN))
    return driver


async def test_whoever_agreed_to_the_new_edition_is_not_suspended_again(
    world: World, apply: Apply
) -> None:
    agreed = await agreed_just_before_the_job(world)
    silent = await an_old_driver(world)
    before = await read_gate(world, agreed)

    await apply(THEN + MINUTE)

    assert await state(world, agreed) == "given"
    assert await read_gate(world, agreed) == before
    assert await state(world, silent) == "superseded"


async def test_control_without_the_comparison_it_is_suspended(
    world: World, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = await agreed_just_before_the_job(world)
    monkeypatch.setattr(ConsentCell, "is_given_before", lambda cell, _edition: cell.is_given)

    await apply(THEN + MINUTE)

    assert await state(world, agreed) == "superseded"


async def test_who_has_nothing_to_lose_is_not_stopped_for_it(world: World, apply: Apply) -> None:
    agreed = await agreed_just_before_the_job(world)
    silent = await an_old_driver(world)

    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.lock(conn, world.company_id, agreed.member_id)
        await apply(THEN + MINUTE)  # which would wait for this lock

    assert await state(world, silent) == "superseded"


async def test_who_agrees_anew_while_a_job_is_done_again_stays(world: World, apply: Apply) -> None:
    driver = await an_old_driver(world)
    edition = await published(world)
    ids = world.company_id, driver.member_id
    async with gate.stopping(world.pool, *ids, now=THEN) as conn:
        assert await service.supersede(conn, *ids, edition, now=THEN) is not None
    await give(world, driver, PLAN_FACT, THEN + MINUTE, notice=await in_force(world, THEN))

    await apply(THEN + 2 * MINUTE)  # the job had not come to its end

    assert await state(world, driver) == "given"


async def test_a_consent_of_the_new_edition_counts_whatever_its_clock_said(world: World) -> None:
    driver = await an_old_driver(world)
    edition = await published(world)
    notice = await in_force(world, THEN)
    await give(world, driver, PLAN_FACT, THEN, notice=notice)
    late = replace(edition, effective_at=THEN + timedelta(hours=1))  # by another process's clock
    ids = world.company_id, driver.member_id

    async with gate.stopping(world.pool, *ids, now=THEN) as conn:
        assert await service.supersede(conn, *ids, late, now=THEN) is None


@pytest.mark.parametrize(("given_at", "after"), [(-1, "superseded"), (0, "given"), (1, "given")])
async def test_of_another_document_it_counts_when_the_consent_was_given(
    world: World, apply: Apply, given_at: int, after: str
) -> None:
    driver = await an_old_driver(world)
    await withdraw(world, driver, PLAN_FACT)
    await published(world, document=Document.PRIVACY_NOTICE)
    await give(world, driver, PLAN_FACT, IN_FORCE + given_at * MINUTE, notice=NOTICE)

    await apply(THEN + MINUTE)

    assert await state(world, driver) == after


async def given_by_an_older_clock(world: World, apply: Apply) -> None:
    """Give by the old notice what the new one suspended, with a clock of just before it."""
    driver = await an_old_driver(world)
    await published(world)
    await apply(IN_FORCE + SECOND)
    assert await state(world, driver) == "superseded"
    await give(world, driver, PLAN_FACT, IN_FORCE - SECOND, notice=NOTICE)


async def test_an_answer_is_judged_when_it_counts_and_not_by_an_older_clock(
    world: World, apply: Apply
) -> None:
    with pytest.raises(NoticeOutdated):
        await given_by_an_older_clock(world, apply)


async def test_control_by_the_older_clock_it_would_escape_the_new_notice(
    world: World, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_the_clock_says(
        _conn: Connection, _company: object, _driver: object, now: datetime
    ) -> datetime:
        return now

    monkeypatch.setattr(gate, "moment", as_the_clock_says)

    await given_by_an_older_clock(world, apply)


async def given_late_by_the_old_notice(world: World, apply: Apply) -> Driver:
    """Let a driver give by the old notice, whose request waited while the job passed."""
    driver = await new_driver(world, ConsentItem.LOCATION)  # type: ignore[arg-type]  # as a gate's
    await published(world)
    await apply(IN_FORCE + SECOND)
    await give(world, driver, PLAN_FACT, IN_FORCE - SECOND, notice=NOTICE)
    assert await state(world, driver) == "given"
    for minutes in (1, 2):
        await apply(IN_FORCE + minutes * MINUTE + SECOND)
    return driver


async def test_a_later_pass_suspends_what_was_given_late_by_the_old_notice(
    world: World, apply: Apply
) -> None:
    driver = await given_late_by_the_old_notice(world, apply)

    assert await state(world, driver) == "superseded"


async def test_control_applied_at_once_the_late_one_would_hold_for_a_year(
    world: World, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "APPLIED_AFTER", timedelta(0))

    driver = await given_late_by_the_old_notice(world, apply)

    assert await state(world, driver) == "given"


async def test_only_the_purpose_that_was_added_is_compared(world: World, apply: Apply) -> None:
    driver = await an_old_driver(world)
    await published(world)
    await give(world, driver, ConsentItem.LOCATION, THEN, notice=await in_force(world, THEN))

    await apply(THEN + MINUTE)

    assert await state(world, driver, ConsentItem.LOCATION) == "given"
    assert await state(world, driver) == "superseded"


async def test_an_edition_that_adds_nothing_suspends_nothing(world: World) -> None:
    driver = await an_old_driver(world)
    edition = await published(world)
    ids = world.company_id, driver.member_id

    async with gate.stopping(world.pool, *ids, now=THEN) as conn:
        added_nothing = replace(edition, adds_purpose=None)
        assert await service.supersede(conn, *ids, added_nothing, now=THEN) is None

    assert await state(world, driver) == "given"
