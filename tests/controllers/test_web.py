"""Announcing, agreeing and cancelling over HTTP: who may, when, and who is told."""

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from server.controllers import transfer
from server.credentials.model import Role
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from tests.consent.people import ALL, new_driver
from tests.controllers.acts import (
    CHANGES,
    DUE,
    JUST_BEFORE,
    OPERATOR_BEFORE,
    PROVES,
    TO,
    acts_of,
    agreement,
    announce,
    as_driver,
    history,
    notices,
    session,
)
from tests.http import Clock
from tests.world import NOW, World, add_driver

HOUR = timedelta(hours=1)


@PROVES
async def test_every_member_has_a_notice_with_evidence_in_their_language(
    world: World, client: ClientSession, boss: dict[str, str]
) -> None:
    blocked = await add_driver(world.vault, world.pool, world.company_id)
    texts = {}
    for language, words in (("ru", "БИН"), ("kk", "БСН"), ("en", "BIN")):
        driver = await new_driver(world)
        await world.owner.execute(
            "UPDATE member SET locale = $2 WHERE member_id = $1", driver.member_id, language
        )
        texts[driver.member_id] = words
    await world.owner.execute(
        "UPDATE member SET state = 'blocked' WHERE member_id = $1", blocked.member_id
    )
    _, change = await announce(client, boss)

    members = await world.owner.fetch("SELECT member_id FROM member")
    told = await world.owner.fetch(
        "SELECT n.member_id, e.event, e.channel FROM controller_told t"
        " JOIN notice n USING (company_id, notice_id)"
        " JOIN notice_event e USING (company_id, notice_id)"
    )
    assert {row["member_id"] for row in told} == {row["member_id"] for row in members}
    assert {(row["channel"], row["event"]) for row in told} == {("in_app", "handed_over")}
    answer = await client.get(
        "/v1/notice-deliveries",
        params={"kind": "controller_change_announced"},
        headers=boss,
    )
    delivered = (await answer.json())["items"]
    assert {one["member_id"] for one in delivered} == {str(row["member_id"]) for row in members}
    for member_id, words in texts.items():
        headers = await session(world, Role.DRIVER, member_id)
        (shown,) = await notices(client, headers, "controller_change_announced")
        for said in (TO.name, f"{words} {TO.bin}", TO.privacy_contact, "22", "2026"):
            assert said in shown["text"]
    assert change["state"] == "announced"


@PROVES
@pytest.mark.parametrize("effective_at", [JUST_BEFORE, NOW, DUE - timedelta(seconds=1)])
async def test_less_than_thirty_days_are_refused(
    world: World, client: ClientSession, boss: dict[str, str], effective_at: Any
) -> None:
    status, refused = await announce(client, boss, effective_at=rfc3339(effective_at))

    assert (status, refused["code"]) == (422, "controller-notice-too-short")
    assert await world.owner.fetchval("SELECT count(*) FROM controller_change") == 0
    assert await world.owner.fetchval("SELECT count(*) FROM controller_told") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"bin": "12345678901"},
        {"bin": "12345678901x"},
        {"bin": "١٢٣٤٥٦٧٨٩٠١٢"},
        {"name": ""},
        {"name": "x" * 201},
        {"privacy_contact": ""},
        {"effective_at": "2026-12-30"},
    ],
)
async def test_particulars_that_are_none_are_refused(
    client: ClientSession, boss: dict[str, str], wrong: dict[str, str]
) -> None:
    assert (await announce(client, boss, **wrong))[0] == 422


async def test_the_company_itself_is_no_other_company(
    client: ClientSession, boss: dict[str, str]
) -> None:
    status, refused = await announce(client, boss, bin=OPERATOR_BEFORE["bin"])

    assert (status, refused["code"]) == (422, "controller-unchanged")


async def test_a_number_that_drivers_consented_to_is_not_simply_replaced(
    world: World, client: ClientSession, boss: dict[str, str]
) -> None:
    async def stated(number: str | None, contact: str) -> tuple[int, Any]:
        answer = await client.put(
            "/v1/policies/controller",
            json={"bin": number, "privacy_contact": contact},
            headers=boss,
        )
        return answer.status, (await answer.json()).get("code")

    for number in (TO.bin, None):
        assert await stated(number, "elsewhere") == (409, "controller-change-needed")
    assert await stated(OPERATOR_BEFORE["bin"], "another desk") == (200, None)
    for item in ALL:
        await client.post(
            f"/v1/me/consents/{item.value}/withdraw",
            headers=await as_driver(world, world.driver),
        )
    assert await stated(TO.bin, "elsewhere") == (200, None)


async def test_only_a_main_user_announces_and_cancels(
    world: World, client: ClientSession, boss: dict[str, str]
) -> None:
    _, change = await announce(client, boss)
    others = [await session(world, Role.DISPATCHER), await as_driver(world, world.driver)]

    for headers in others:
        assert (await announce(client, headers))[0] == 403
        answer = await client.delete(f"{CHANGES}/{change['change_id']}", headers=headers)
        assert answer.status == 403


@PROVES
@pytest.mark.parametrize("role", [Role.DISPATCHER, Role.MAIN_USER])
async def test_nobody_agrees_in_a_driver_s_place(
    world: World, client: ClientSession, boss: dict[str, str], role: Role
) -> None:
    _, change = await announce(client, boss)

    status, refused = await agreement(client, await session(world, role), change["change_id"])

    assert (status, refused["code"]) == (403, "not-permitted")
    assert await world.owner.fetchval("SELECT count(*) FROM controller_agreement") == 0


async def test_to_agree_again_returns_the_first_agreement(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    _, change = await announce(client, boss)
    driver = await as_driver(world, world.driver)
    first = await agreement(client, driver, change["change_id"])
    clock.at += HOUR

    assert await agreement(client, driver, change["change_id"]) == first
    listed = await (await client.get(CHANGES, headers=driver)).json()
    assert [one["agreed_at"] for one in listed["items"]] == [rfc3339(NOW)]
    listed = await (await client.get(CHANGES, headers=boss)).json()
    assert [one["agreed_at"] for one in listed["items"]] == [None]


async def test_the_day_itself_is_too_late_to_agree_or_to_cancel(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    _, change = await announce(client, boss)
    driver = await as_driver(world, world.driver)
    clock.at = DUE

    for _ in range(2):  # before the job came, and after it
        status, refused = await agreement(client, driver, change["change_id"])
        assert (status, refused["code"]) == (409, "controller-change-over")
        answer = await client.delete(f"{CHANGES}/{change['change_id']}", headers=boss)
        assert (answer.status, (await answer.json())["code"]) == (409, "controller-change-over")
        await transfer.run_due(world.pool, world.company_id, clock.at)


async def test_one_change_is_open_at_a_time(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    _, first = await announce(client, boss)
    status, refused = await announce(client, boss, bin="333333333333")
    assert (status, refused["code"]) == (409, "controller-change-open")

    answer = await client.delete(f"{CHANGES}/{first['change_id']}", headers=boss)
    assert answer.status == 204
    assert (await announce(client, boss))[0] == 201
    clock.at = DUE
    await transfer.run_due(world.pool, world.company_id, clock.at)
    later = rfc3339(DUE + timedelta(days=30))
    assert (await announce(client, boss, bin="333333333333", effective_at=later))[0] == 201
    listed = await (await client.get(CHANGES, headers=boss)).json()
    assert [one["state"] for one in listed["items"]] == ["cancelled", "in_effect", "announced"]
    page = await (await client.get(CHANGES, params={"limit": 2}, headers=boss)).json()
    rest = {"cursor": page["next_cursor"], "limit": "2"}
    last = await (await client.get(CHANGES, params=rest, headers=boss)).json()
    assert [*page["items"], *last["items"]] == listed["items"]
    assert last["next_cursor"] is None


async def test_a_cancelled_change_is_told_and_never_carried_out(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    _, change = await announce(client, boss)
    headers = await as_driver(world, world.driver)
    await agreement(client, headers, change["change_id"])
    await client.delete(f"{CHANGES}/{change['change_id']}", headers=boss)
    before = await history(world, world.driver)

    (told,) = await notices(client, headers, "controller_change_cancelled")
    assert TO.name in told["text"]
    clock.at = DUE + HOUR
    assert await transfer.run_due(world.pool, world.company_id, clock.at) == 0
    assert await history(world, world.driver) == before
    name = await world.owner.fetchval("SELECT name FROM company")
    assert name == OPERATOR_BEFORE["name"]
    assert (await acts_of(world))[-1] == "controller_change_cancelled"
    other = await as_driver(world, await new_driver(world))
    status, refused = await agreement(client, other, change["change_id"])
    assert (status, refused["code"]) == (409, "controller-change-over")


async def test_an_unknown_change_is_not_found(
    world: World, client: ClientSession, boss: dict[str, str]
) -> None:
    answer = await client.delete(f"{CHANGES}/{uuid7()}", headers=boss)
    status, refused = await agreement(client, await as_driver(world, world.driver), str(uuid7()))

    assert answer.status == status == 404
    assert refused["code"] == "controller-change-not-found"
