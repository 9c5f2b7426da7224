"""Giving again near the end: it goes on for another year, and shows nothing that was hidden."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

import pytest

from server.accounts.model import Locale
from server.consent import acts, expiry
from server.consent.model import (
    RENEWABLE_FOR,
    VALID_FOR,
    Answer,
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentCell,
    ConsentItem,
    ConsentRenewalEarly,
    ConsentState,
    LocationScope,
    LocationTerms,
)
from server.gate.model import CLOCK_AHEAD_MAX, Gate, GateItem
from server.kit import db
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.policies import service as policies
from server.policies.model import Document
from server.tracking import service as tracking
from server.tracking.model import Track, TrackPurpose
from tests.conftest import Databases
from tests.consent.acts import (
    DISPATCH,
    LOCATION,
    MINUTE,
    PLAN_FACT,
    act,
    adding,
    call,
    consents,
    decide,
    give,
    history,
    read_gate,
    shift_ends,
    withdraw,
)
from tests.consent.people import ALL, new_driver
from tests.consents import NOTICE, body
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import Clock, serve
from tests.uploading import Api, positions, uploading
from tests.world import CONSENTED, NOW, Driver, World

SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
OVER: Final = CONSENTED + VALID_FOR
RENEWABLE: Final = OVER - RENEWABLE_FOR
WALKS: Final = 24
STEPS: Final = 14


def since(found: Gate) -> tuple[datetime | None, ...]:
    return found.location_since, found.dispatch_since, found.plan_fact_since


@pytest.mark.parametrize("item", ConsentItem)
async def test_what_is_given_again_near_its_end_goes_on(world: World, item: ConsentItem) -> None:
    driver = await new_driver(world)
    for one in ConsentItem:
        await give(world, driver, one, CONSENTED)
    before = await read_gate(world, driver)

    renewed = await give(world, driver, item, RENEWABLE)

    after = await read_gate(world, driver)
    assert renewed.valid_until == RENEWABLE + VALID_FOR
    assert renewed.given_at == CONSENTED
    assert renewed.recorded_at == RENEWABLE
    assert since(after) == since(before)
    assert [state for state, _ in await history(world, driver, item)] == [
        *("given", "superseded", "given")
    ]
    untils = {"location_until", "dispatch_until", "plan_fact_until"}
    moved = {name for name in untils if getattr(after, name) != getattr(before, name)}
    names = {LOCATION: "location", DISPATCH: "dispatch", PLAN_FACT: "plan_fact"}
    assert moved == ({f"{names[GateItem(item.value)]}_until"} if item.value in names else set())


async def test_before_that_it_is_refused_and_the_answer_says_from_when_it_is_not(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL)
    token = await world.driver_session(driver)
    clock = Clock(RENEWABLE - SECOND)
    session_ends = RENEWABLE + VALID_FOR
    await world.owner.execute("UPDATE session SET expires_at = $1, used_at = $1", session_ends)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        early = await call(client, token, "POST", "/v1/me/consents", body("location"))
        clock.at = RENEWABLE
        status, renewed = await call(client, token, "POST", "/v1/me/consents", body("location"))

    assert (early[0], early[1]["code"]) == (409, "consent-renewal-early")
    assert early[1]["detail"] == f"It can be given again from {rfc3339(RENEWABLE)}."
    assert (status, renewed["state"]) == (201, "given")
    assert renewed["given_at"] == rfc3339(CONSENTED)
    assert renewed["valid_until"] == rfc3339(RENEWABLE + VALID_FOR)


@pytest.fixture
async def api(world: World, databases: Databases) -> AsyncIterator[Api]:
    async with uploading(world, databases) as served:
        yield served


async def track(world: World, driver: Driver, now: datetime) -> Track:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await tracking.track(
            conn,
            world.vault,
            world.company_id,
            driver.member_id,
            now - HOUR,
            now,
            purpose=TrackPurpose.PLAN_FACT,
            now=now,
        )


async def test_what_was_collected_before_stays_visible_beyond_the_old_end(api: Api) -> None:
    driver = await new_driver(api.world, *ALL)
    await act(api.world, driver, "start", OVER - 10 * MINUTE)
    api.clock.at = OVER - 2 * MINUTE
    await api.upload(positions(3, until=api.clock.at, step_s=5), driver=driver)

    for item in ALL:
        await give(api.world, driver, item, OVER - MINUTE)
    api.clock.at = OVER + MINUTE
    await api.upload(positions(1, until=api.clock.at), driver=driver)

    assert len(await track(api.world, driver, OVER + 2 * MINUTE)) == 4


async def test_control_what_is_not_renewed_is_hidden_at_its_end(api: Api) -> None:
    driver = await new_driver(api.world, *ALL)
    await act(api.world, driver, "start", OVER - 10 * MINUTE)
    api.clock.at = OVER - 2 * MINUTE
    await api.upload(positions(3, until=api.clock.at, step_s=5), driver=driver)

    assert len(await track(api.world, driver, OVER - MINUTE)) == 3
    assert len(await track(api.world, driver, OVER + MINUTE)) == 0


async def test_a_shift_goes_on_and_a_window_lasts_as_long_as_the_renewed_consents(
    world: World,
) -> None:
    driver = await new_driver(world)
    always = LocationTerms(scope=LocationScope.ALWAYS)
    await give(world, driver, LOCATION, CONSENTED, terms=always)
    await give(world, driver, PLAN_FACT, CONSENTED)
    await act(world, driver, "start", OVER - MINUTE)

    await give(world, driver, LOCATION, OVER - SECOND, terms=always)
    await give(world, driver, PLAN_FACT, OVER - SECOND)

    rows = await world.owner.fetch(
        "SELECT closed_at, expires_at FROM recording_window WHERE driver_id = $1"
        " ORDER BY opened_at DESC LIMIT 1",
        driver.member_id,
    )
    assert [tuple(row) for row in rows] == [(None, OVER - SECOND + VALID_FOR)]
    assert await shift_ends(world, driver) == [(None, None)]
    assert driver.member_id not in await expiry.expire_due(world.pool, world.company_id, OVER)


async def test_on_other_terms_it_begins_anew_also_near_its_end(world: World) -> None:
    driver = await new_driver(world, *ALL)

    given = await give(world, driver, LOCATION, RENEWABLE, terms=LocationTerms(background=False))

    assert given.given_at == RENEWABLE
    assert (await read_gate(world, driver)).location_since == RENEWABLE


async def test_the_same_edition_in_another_language_is_the_same_near_the_end(world: World) -> None:
    driver = await new_driver(world, *ALL)
    async with db.tenant(world.pool, world.company_id) as conn:
        shown = await policies.in_force(
            conn, world.company_id, Document.DRIVER_NOTICE, NOW, language=Locale.KK
        )
    kazakh = replace(NOTICE, language=Locale.KK, sha256=shown.sha256)

    given = await give(world, driver, PLAN_FACT, RENEWABLE, notice=kazakh)

    assert given.given_at == CONSENTED
    assert given.notice == kazakh  # the record names what was read


def cell(**changed: object) -> ConsentCell:
    given = Consent(
        driver_id=uuid7(),
        item=ConsentItem.PLAN_FACT,
        version=1,
        record_id=uuid7(),
        state=ConsentState.GIVEN,
        actor=ConsentActor.DRIVER,
        epoch=1,
        recorded_at=CONSENTED,
        notice=NOTICE,
        valid_until=OVER,
    )
    return ConsentCell(item=given.item, decision=replace(given, **changed))  # type: ignore[arg-type]


def answered(notice_edition: int = NOTICE.edition) -> Answer:
    notice = replace(NOTICE, edition=notice_edition)
    return Answer(item=ConsentItem.PLAN_FACT, act=ConsentAct.GIVE, notice=notice)


def test_another_edition_is_another_consent_whenever_it_is_given() -> None:
    assert not cell().is_renewed_by(answered(notice_edition=2), RENEWABLE)
    assert not cell().is_renewed_by(answered(notice_edition=2), RENEWABLE - SECOND)
    assert cell().is_renewed_by(answered(), RENEWABLE)
    with pytest.raises(ConsentRenewalEarly):
        cell().is_renewed_by(answered(), RENEWABLE - SECOND)


@pytest.mark.parametrize(("valid_until", "before"), [(RENEWABLE + VALID_FOR, False), (OVER, True)])
def test_an_edition_counts_from_the_last_answer_and_not_from_a_record_written_down_anew(
    valid_until: datetime, *, before: bool
) -> None:
    privacy = replace(
        adding(ConsentItem.PLAN_FACT),
        document=Document.PRIVACY_NOTICE,
        effective_at=RENEWABLE - MINUTE,
    )
    # The first was renewed since then, the second went on under another controller.
    went_on = cell(recorded_at=RENEWABLE, held_since=CONSENTED, valid_until=valid_until)

    assert went_on.is_given_before(privacy) is before


@pytest.mark.parametrize("state", [one for one in ConsentState if one != "given"])
def test_only_what_is_given_is_renewed(state: ConsentState) -> None:
    assert not cell(state=state).is_renewed_by(answered(), RENEWABLE)


async def test_what_ran_out_is_given_anew_and_not_renewed(world: World) -> None:
    driver = await new_driver(world, *ALL)
    await act(world, driver, "start", OVER - MINUTE)
    late = OVER + 20 * SECOND  # before the job came

    given = await give(world, driver, LOCATION, late)

    assert await history(world, driver, ConsentItem.LOCATION) == [
        ("given", "driver"),
        ("expired", "system"),
        ("given", "driver"),
    ]
    assert given.given_at == late
    assert (await read_gate(world, driver)).location_since == late + CLOCK_AHEAD_MAX
    assert await shift_ends(world, driver) == [(late, "consent_ended")]


async def taken_and_given_near(world: World) -> tuple[Driver, datetime]:
    """Return a driver who withdrew and gave again at once, and from when positions are shown."""
    driver, taken_at = await new_driver(world, *ALL), CONSENTED + MINUTE
    await withdraw(world, driver, LOCATION, taken_at)
    await give(world, driver, LOCATION, taken_at + SECOND)
    return driver, taken_at + CLOCK_AHEAD_MAX


async def test_renewing_keeps_hidden_what_came_in_just_before_a_withdrawal(world: World) -> None:
    driver, shown_since = await taken_and_given_near(world)

    await give(world, driver, LOCATION, RENEWABLE + HOUR)

    assert (await read_gate(world, driver)).location_since == shown_since


async def test_control_by_the_record_alone_renewing_would_show_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "_shown_since", since_as_recorded)
    driver, shown_since = await taken_and_given_near(world)

    await give(world, driver, LOCATION, RENEWABLE + HOUR)

    found = (await read_gate(world, driver)).location_since
    assert found is not None
    assert found < shown_since


async def since_as_recorded(
    _conn: Connection, _company: object, change: acts.Change, _item: GateItem
) -> datetime | None:
    return None if change.held is None else change.held.given_at


async def walk(world: World, seed: int) -> list[str]:
    """Let a driver give and withdraw as chance has it; return where the past came back to sight.

    What is shown begins later and later: never before it did, and never before what was taken away.
    """
    random = Random(seed)  # noqa: S311 - a walk that can be walked again
    driver, at = await new_driver(world), CONSENTED
    seen: dict[GateItem, datetime] = {}
    wrong: list[str] = []
    for step in range(STEPS):
        at += random.choice((SECOND, 10 * SECOND, MINUTE, VALID_FOR - RENEWABLE_FOR / 2, VALID_FOR))
        item = random.choice((LOCATION, LOCATION, PLAN_FACT))
        if random.random() < 0.5:
            await expiry.expire_due(world.pool, world.company_id, at)
        taking = random.random() < 0.4
        try:
            await decide(
                world, driver, item, ConsentAct.WITHDRAW if taking else ConsentAct.GIVE, at
            )
        except ConsentActionRefused:
            continue
        found = await read_gate(world, driver)
        now = {LOCATION: found.location_since, PLAN_FACT: found.plan_fact_since}
        for one, shown in now.items():
            if shown is not None and shown < seen.get(one, shown):
                wrong.append(f"seed {seed}, step {step}: {one} is shown from before")
            if shown is not None:
                seen[one] = shown
        if taking:
            seen[item] = max(at, seen.get(item, at))
    return wrong


async def test_no_way_of_giving_and_withdrawing_shows_what_was_hidden(world: World) -> None:
    assert [wrong for seed in range(WALKS) for wrong in await walk(world, seed)] == []


async def test_control_the_same_walks_by_the_record_alone_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "_shown_since", since_as_recorded)

    assert [wrong for seed in range(WALKS) for wrong in await walk(world, seed)] != []


async def test_renewing_moves_the_epoch_and_none_of_the_others(world: World) -> None:
    driver = await new_driver(world, *ALL)
    before = {one.item: one.decision for one in (await consents(world, driver)).items}
    epoch = (await read_gate(world, driver)).epoch

    renewed = await give(world, driver, PLAN_FACT, RENEWABLE)

    after = {one.item: one.decision for one in (await consents(world, driver)).items}
    assert after == {**before, ConsentItem.PLAN_FACT: renewed}
    assert (await read_gate(world, driver)).epoch == epoch + 1 == renewed.epoch
