"""What a driver is told of their consents and shifts."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.consent import service as consent
from server.consent.model import ConsentItem, LocationScope, LocationTerms
from server.gate import service as gate
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices.writing import PARAGRAPH, TEXTS, Setting, write
from server.shifts import service as shifts
from server.standing.model import BlockReason
from tests.consent.acts import MINUTE, act, call, give, windows
from tests.consent.people import ALL, new_driver
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import serve
from tests.told import last_entry, told
from tests.world import NOW, SHIFT_STARTED, World

AT = rfc3339(NOW)
ALWAYS = LocationTerms(scope=LocationScope.ALWAYS)


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


@pytest.mark.parametrize("item", ["location", "plan_fact"])
async def test_a_withdrawal_is_confirmed_once(
    world: World, client: ClientSession, item: str
) -> None:
    token = await world.driver_session()
    for _ in range(2):
        status, _ = await call(client, token, "POST", f"/v1/me/consents/{item}/withdraw")
        assert status == 200

    assert await told(world, world.driver.member_id) == [
        ("consent_withdrawn_confirmation", {"items": item, "withdrawn_at": AT})
    ]


async def test_what_others_take_away_is_told_by_their_own_notice(world: World) -> None:
    ids = (world.company_id, world.driver.member_id)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await consent.withdraw_for_erasure(conn, *ids, now=NOW)

    assert await told(world, world.driver.member_id) == []


@pytest.mark.parametrize("by", ["dispatcher", "main_user"])
async def test_a_shift_that_staff_ended_is_told_and_written_down(
    world: World, client: ClientSession, by: str
) -> None:
    path = f"/v1/drivers/{world.driver.member_id}/shift/end"
    for _ in range(2):
        assert (await call(client, await world.session(by), "POST", path))[0] == 200

    assert await told(world, world.driver.member_id) == [
        ("shift_ended_by_other", {"by_role": by, "ended_at": AT, "recording": "stopped"})
    ]
    assert await last_entry(world) == ("shift_ended_by_other", by, {"ended_by": by})


async def test_a_shift_that_ended_by_itself_is_told(world: World) -> None:
    ended_at = SHIFT_STARTED + timedelta(hours=14)
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.end_forgotten(conn, world.company_id, ended_at + timedelta(minutes=1))

    said = {"by_role": "forgotten", "ended_at": rfc3339(ended_at), "recording": "stopped"}
    assert await told(world, world.driver.member_id) == [("shift_ended_by_other", said)]


@pytest.mark.parametrize(("acts", "recording"), [((), "goes_on"), (("pause",), "stopped")])
async def test_who_agreed_to_off_shift_too_is_told_whether_recording_goes_on(
    world: World, client: ClientSession, acts: tuple[str, ...], recording: str
) -> None:
    driver = await new_driver(world, *ALL)
    await give(world, driver, ConsentItem.LOCATION, SHIFT_STARTED, terms=ALWAYS)
    await act(world, driver, "start", SHIFT_STARTED)
    for one in acts:
        await act(world, driver, one, SHIFT_STARTED + MINUTE)

    path = f"/v1/drivers/{driver.member_id}/shift/end"
    assert (await call(client, await world.session("dispatcher"), "POST", path))[0] == 200

    [(_, facts)] = await told(world, driver.member_id)
    assert facts["recording"] == recording
    later = NOW + MINUTE
    is_open = any(window.contains(later) for window in await windows(world, driver))
    assert is_open is (recording == "goes_on")  # what is told is what is done


async def test_a_forgotten_shift_of_who_agreed_to_off_shift_too_tells_so_as_well(
    world: World,
) -> None:
    driver = await new_driver(world, *ALL)
    await give(world, driver, ConsentItem.LOCATION, SHIFT_STARTED, terms=ALWAYS)
    await act(world, driver, "start", SHIFT_STARTED)
    over = SHIFT_STARTED + timedelta(hours=14) + MINUTE
    async with db.tenant(world.pool, world.company_id) as conn:
        await shifts.end_forgotten(conn, world.company_id, over)

    [(_, facts)] = await told(world, driver.member_id)
    assert facts["recording"] == "goes_on"
    assert any(one.contains(over) for one in await windows(world, driver))


@pytest.mark.parametrize("language", list(Locale))
def test_what_the_notice_says_of_recording_is_said_whole(language: Locale) -> None:
    facts = {"by_role": "dispatcher", "ended_at": AT}
    kind = NoticeKind.SHIFT_ENDED_BY_OTHER
    setting = Setting(language=language, company="Aral", time_zone="Asia/Almaty", names={})

    stopped = write(kind, {**facts, "recording": "stopped"}, setting)
    goes_on = write(kind, {**facts, "recording": "goes_on"}, setting)
    queued_before = write(kind, facts, setting)

    words = TEXTS[language]["words"]["recording"]
    assert words["stopped"] in stopped.body.split(PARAGRAPH)
    assert words["goes_on"] in goes_on.body.split(PARAGRAPH)
    assert not any(one in queued_before.body for one in words.values())
    assert stopped.short == goes_on.short


async def test_a_shift_that_the_driver_ended_is_not(world: World, client: ClientSession) -> None:
    token = await world.driver_session()

    assert (await call(client, token, "POST", "/v1/me/shift/end"))[0] == 200

    assert await told(world, world.driver.member_id) == []


async def test_a_block_is_told_once_and_not_also_as_the_end_of_the_shift(world: World) -> None:
    ids = (world.company_id, world.driver.member_id)
    by = Actor(kind=ActorKind.API_TOKEN)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await consent.block(conn, *ids, BlockReason.LOST_PHONE, by=by, now=NOW)

    assert await told(world, world.driver.member_id) == [
        (
            "account_blocked",
            {"by_role": "api_token", "lifting": "company", "reason": "lost_phone"},
        )
    ]
