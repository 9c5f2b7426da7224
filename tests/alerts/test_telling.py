"""Who is told of an alert in a notice, and that it tells no place."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.alerts.model import AlertKind
from server.notice_kinds.kinds import NoticeKind
from server.notice_kinds.words import WORDS
from server.notices.writing import Setting, write
from tests.alerts.seen import NOW_S, TICK, judge, planned
from tests.http import bearer
from tests.told import told
from tests.world import NOW, World, add_member, open_session

WISHES: Final = "/v1/me/alert-wishes"
ALL: Final = {"late": True, "off_route": True, "no_signal": True, "long_stop": True}
NONE: Final = dict.fromkeys(ALL, False)


async def member(world: World, role: str) -> tuple[UUID, dict[str, str]]:
    member_id = await add_member(world.vault, world.pool, world.company_id, role=role)
    return member_id, bearer(await open_session(world.pool, world.company_id, member_id))


async def wish(client: ClientSession, headers: dict[str, str], **changes: bool) -> Any:
    async with client.put(WISHES, json=ALL | changes, headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_dispatchers_are_told_once_and_main_users_only_if_they_want(
    client: ClientSession, world: World
) -> None:
    dispatcher, _ = await member(world, "dispatcher")
    quiet, _ = await member(world, "main_user")
    keen, headers = await member(world, "main_user")
    await wish(client, headers, off_route=False)
    route = await planned(world)

    for n in range(3):
        await judge(world, route.late(20.0), at=NOW + n * TICK)

    (told_one,) = await told(world, dispatcher)
    assert told_one == (
        "route_alert",
        {
            "alert": "late",
            "driver": str(world.driver.member_id),
            "raised_at": "2026-11-22T12:00:00Z",
        },
    )
    assert await told(world, keen) == [told_one]
    assert await told(world, quiet) == []
    assert await told(world, world.driver.member_id) == []


async def test_each_kind_is_wanted_or_not(client: ClientSession, world: World) -> None:
    dispatcher, headers = await member(world, "dispatcher")
    assert await wish(client, headers, late=False) == ALL | {"late": False}
    route = await planned(world)

    await judge(world, route.seen(deviation_s=9e3, standing_since_s=NOW_S - 9e3))

    assert [facts["alert"] for _, facts in await told(world, dispatcher)] == ["long_stop"]


@pytest.mark.parametrize(("role", "usual"), [("dispatcher", ALL), ("main_user", NONE)])
async def test_who_never_chose_reads_what_is_usual(
    client: ClientSession, world: World, role: str, usual: dict[str, bool]
) -> None:
    _, headers = await member(world, role)

    async with client.get(WISHES, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (200, usual)


async def test_what_one_wishes_is_nobody_elses(client: ClientSession, world: World) -> None:
    dispatcher, _ = await member(world, "dispatcher")
    _, other = await member(world, "dispatcher")
    await wish(client, other, **NONE)

    await judge(world, (await planned(world)).late(20.0))

    assert len(await told(world, dispatcher)) == 1


async def test_whose_account_is_not_active_is_told_nothing(world: World) -> None:
    dispatcher, _ = await member(world, "dispatcher")
    await world.owner.execute(
        "UPDATE member SET state = 'blocked' WHERE member_id = $1", dispatcher
    )

    await judge(world, (await planned(world)).late(20.0))

    assert await told(world, dispatcher) == []


async def test_a_driver_wishes_nothing(client: ClientSession, world: World) -> None:
    headers = bearer(await world.driver_session())

    async with client.put(WISHES, json=ALL, headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("language", Locale)
@pytest.mark.parametrize("kind", AlertKind)
def test_a_notice_says_what_it_is_about_who_and_when(language: Locale, kind: AlertKind) -> None:
    driver_id = UUID(int=5)
    setting = Setting(
        language=language,
        company="Aral Freight",
        time_zone="Asia/Almaty",
        names={driver_id: "Aidos Testov"},
    )
    facts = {
        "alert": kind.value,
        "driver": str(driver_id),
        "raised_at": (NOW + timedelta(minutes=7)).isoformat(),
    }

    text = write(NoticeKind.ROUTE_ALERT, facts, setting)

    assert "Aidos Testov" in text.body
    assert "17:07" in text.body
    assert "Aidos" not in text.short
    assert {kind.value for kind in AlertKind} == WORDS["alert"]
