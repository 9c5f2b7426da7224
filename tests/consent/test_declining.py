"""Saying no: it takes nothing away but what was asked for, and leaves nothing that was not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from server.kit.wire import rfc3339
from server.log_in.web import logging_in
from server.policies.model import Document
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.consent.acts import call
from tests.consent.people import new_driver
from tests.consents import body
from tests.endpoints import ACCOUNTS, CONSENT, POLICIES, TRACKING
from tests.http import Clock, serve
from tests.policies.acts import accept, current
from tests.uploading import positions
from tests.world import NOW, Driver, World

NEEDED: Final = (ConsentItem.LOCATION, ConsentItem.PLAN_FACT)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, databases: Databases, clock: Clock) -> AsyncIterator[ClientSession]:
    def prepare(app: Any) -> None:
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    features = (ACCOUNTS, CONSENT, POLICIES, TRACKING)
    async with serve(world, *features, clock=clock, prepare=prepare) as opened:
        yield opened


async def upload(client: ClientSession, driver: Driver, clock: Clock) -> Any:
    sent = {"positions": positions(3, until=clock.at)}
    status, answer = await call(client, driver.device_token, "POST", "/v1/positions", sent)
    assert status == 200
    return answer


@pytest.mark.proves("relog-service:preamble", "qoldau:3")
async def test_who_accepts_every_policy_and_declines_all_keeps_an_account_without_positions(
    world: World, client: ClientSession, clock: Clock
) -> None:
    driver = await new_driver(world, name="Saule Probkina")
    token = await world.driver_session(driver)
    for document in Document:
        shown = await current(client, world, document.value)
        assert (await accept(client, token, shown))[0] == 201
    for item in ConsentItem:
        declined = await call(client, token, "POST", "/v1/me/consents", body(item, "declined"))
        assert declined[0] == 201

    assert (await call(client, token, "POST", "/v1/me/shift/start"))[0] == 409
    refused = await upload(client, driver, clock)
    assert [one["reason"] for one in refused["refused"]] == ["no_consent"] * 3
    assert (refused["accepted"], refused["collect"]) == (0, False)
    for path in own_paths(driver):
        assert (await call(client, token, "GET", path))[0] == 200
    for table in ("chunk", "latest_position", "recording_window", "shift"):
        count = f"SELECT count(*) FROM {table} WHERE driver_id = $1"  # noqa: S608 - of this list
        assert await world.owner.fetchval(count, driver.member_id) == 0
    rows = await world.owner.fetch("SELECT r::text FROM consent_record r WHERE state = 'declined'")
    assert len(rows) == len(ConsentItem)
    assert "Saule" not in str(rows)


def own_paths(driver: Driver) -> list[str]:
    """Return where a driver reads what is known of them."""
    span = f"from={rfc3339(NOW - timedelta(days=1))}&to={rfc3339(NOW)}"
    me = ("", "/consents", "/consents/records", "/policy-acceptances", "/devices", "/shift")
    return [
        "/v1/session",
        *(f"/v1/me{path}" for path in me),
        f"/v1/drivers/{driver.member_id}/track?{span}",
    ]


@pytest.mark.proves("relog-driver-app:3.1.3-refusal")
@pytest.mark.parametrize("refused", [one for one in ConsentItem if one not in NEEDED])
async def test_without_any_one_of_the_others_a_shift_is_worked_all_the_same(
    world: World, client: ClientSession, clock: Clock, refused: ConsentItem
) -> None:
    driver = await new_driver(world)
    token = await world.driver_session(driver)
    for item in ConsentItem:
        answer = body(item, "declined" if item is refused else "given")
        assert (await call(client, token, "POST", "/v1/me/consents", answer))[0] == 201

    status, _ = await call(client, token, "POST", "/v1/me/shift/start")
    clock.at += timedelta(minutes=1)

    assert status == 200
    assert (await upload(client, driver, clock))["accepted"] == 3


def without_state(view: dict[str, Any]) -> dict[str, Any]:
    """Return what the staff see of a driver, but for who it is and for the answers themselves."""
    others = {k: v for k, v in view.items() if k not in {"driver_id", "consents"}}
    return {**others, "consents": sorted(view["consents"])}


@pytest.mark.proves("relog-driver-manager-apps:1.6")
@pytest.mark.parametrize("role", ["dispatcher", "main_user"])
async def test_saying_no_takes_no_reason_and_leaves_none_for_the_staff(
    world: World, client: ClientSession, role: str
) -> None:
    declining = await new_driver(world, name="Saule Probkina")
    never_asked = await new_driver(world, name="Saule Probkina")
    token, staff = await world.driver_session(declining), await world.session(role)
    for item in ConsentItem:
        for name in ("reason", "comment", "why"):
            with_reason = body(item, "declined", **{name: "I do not want to"})
            assert (await call(client, token, "POST", "/v1/me/consents", with_reason))[0] == 422
        declined = await call(client, token, "POST", "/v1/me/consents", body(item, "declined"))
        assert declined[0] == 201

    seen = {}
    for driver in (declining, never_asked):
        _, seen[driver] = await call(client, staff, "GET", f"/v1/drivers/{driver.member_id}")
    _, page = await call(client, staff, "GET", "/v1/drivers")

    # Nothing is there that is not there of somebody who was never asked, nor is anything worse.
    assert without_state(seen[declining]) == without_state(seen[never_asked])
    assert seen[declining] in page["items"]
    assert seen[declining]["state"] == "active"
    assert set(seen[declining]["consents"].values()) == {"declined"}


async def test_saying_no_tells_the_company_nothing_by_a_notice(
    world: World, client: ClientSession
) -> None:
    await world.session("main_user")
    driver = await new_driver(world)
    token = await world.driver_session(driver)
    before = await world.owner.fetchval("SELECT count(*) FROM notice")

    for item in ConsentItem:
        await call(client, token, "POST", "/v1/me/consents", body(item, "declined"))

    assert await world.owner.fetchval("SELECT count(*) FROM notice") == before
