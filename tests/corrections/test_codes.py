"""The codes that prove a new phone or e-mail: where they stand, how often, and how long."""

import asyncio
import json
import re
from datetime import timedelta

import pytest

from server.corrections import service
from server.corrections.model import CODE_LASTS, CODE_TRIES_MAX, CODES_MAX
from server.kit import db
from tests.corrections.conftest import NEW_PHONE, Stage, of, proven
from tests.exports.made import files, package
from tests.world import NOW

MINUTE = timedelta(minutes=1)


async def test_the_code_is_not_in_the_app(stage: Stage) -> None:
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)

    _, found = await stage.call("GET", "/v1/me/notices", stage.driver)

    kinds = [one["kind"] for one in found["items"]]
    assert kinds == ["contact_change_asked"]
    assert code not in str(found)


async def test_the_code_stands_nowhere_in_clear(stage: Stage) -> None:
    """Also before it is sent, and with what a journal of the database would have of that row."""
    world = stage.world
    await stage.correct(phone=NEW_PHONE)
    everything = "SELECT string_agg(n::text, ' ') FROM notice n"
    queued = await world.owner.fetchval(everything)
    assert "contact_code" in queued

    code = await stage.code_at(NEW_PHONE)

    looked_for = re.compile(rf"(?<![0-9a-f]){code}(?![0-9a-f])")
    assert looked_for.search(queued) is None
    assert looked_for.search(await world.owner.fetchval(everything)) is None
    assert looked_for.search(f'{{"code": "{code}"}}') is not None  # the control


async def test_the_code_is_in_no_package_of_ones_own_data(stage: Stage) -> None:
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)

    found = files(await package(stage.world, stage.driver_id))

    data = json.loads(found["data/notices.json"])
    told = {one["kind"]: one["text"] for one in data["notice"]}
    assert (told["contact_code"], told["contact_change_asked"] is None) == (None, False)
    assert NEW_PHONE in found["data/profile.json"].decode()  # the control: it waits for its code
    looked_for = re.compile(rf"(?<![0-9a-f]){code}(?![0-9a-f])".encode())
    assert looked_for.search(found["data/notices.json"]) is None


@pytest.mark.parametrize("why", ["wrong", "late", "tried", "replaced", "used"])
async def test_a_code_that_does_not_fit_changes_nothing(stage: Stage, why: str) -> None:
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)
    other = "111111" if code != "111111" else "222222"
    match why:
        case "wrong":
            code = other
        case "late":
            stage.clock.at = NOW + CODE_LASTS
        case "tried":
            for _ in range(CODE_TRIES_MAX):
                await stage.confirm("phone", other)
        case "replaced":
            stage.clock.at = NOW + MINUTE
            await stage.correct(phone="+77010000303")
        case _:
            assert (await stage.confirm("phone", code))[0] == 200
    before = await stage.history()

    status, problem = await stage.confirm("phone", code)

    assert (status, problem["code"]) == (422, "contact-code-refused")
    assert await stage.history() == before


async def test_a_code_is_right_until_it_was_tried_too_often(stage: Stage) -> None:
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)
    for _ in range(CODE_TRIES_MAX - 1):
        await stage.confirm("phone", "000000" if code != "000000" else "000001")

    assert (await stage.confirm("phone", code))[0] == 200


async def test_codes_are_not_sent_in_a_row(stage: Stage) -> None:
    statuses = []
    for _ in range(CODES_MAX + 1):
        statuses.append((await stage.correct(phone=NEW_PHONE))[0])
        assert (await stage.correct(phone=NEW_PHONE))[0] == 429
        stage.clock.at += MINUTE

    assert statuses == [200] * CODES_MAX + [429]
    stage.clock.at = NOW + timedelta(days=1)
    world = stage.world
    stage.driver = await proven(world, stage.driver_id, NOW)
    assert (await stage.correct(phone=NEW_PHONE))[0] == 200


async def test_what_nobody_confirmed_is_forgotten_a_day_later(stage: Stage) -> None:
    world = stage.world
    await stage.correct(phone=NEW_PHONE)

    async def forget(after: timedelta) -> int:
        async with db.tenant(world.pool, world.company_id) as conn:
            return await service.forget_waiting(conn, world.company_id, NOW + after)

    assert await forget(timedelta(days=1)) == 0
    assert await forget(timedelta(days=1) + MINUTE) == 1


async def test_one_code_told_twice_at_once_counts_once(stage: Stage) -> None:
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)

    answers = await asyncio.gather(*(stage.confirm("phone", code) for _ in range(3)))

    assert sorted(status for status, _ in answers) == [200, 422, 422]
    assert len(of(await stage.history(), "phone")) == 2
