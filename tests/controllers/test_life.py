"""The whole life of a change over HTTP, to the new company's receipts."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.controllers import consents, service, transfer
from server.guardians.model import GuardianConsent
from server.kit import db
from server.kit.wire import rfc3339
from server.policies.model import Document
from tests.consent.acts import act, call
from tests.consent.people import ALL, new_driver
from tests.consents import body
from tests.controllers.acts import (
    BODY,
    DUE,
    JUST_BEFORE,
    OPERATOR,
    OPERATOR_BEFORE,
    PROVES,
    TO,
    acts_of,
    agreement,
    announce,
    as_driver,
    gate_of,
    history,
    notices,
    since,
    states,
    upload,
)
from tests.guardians import minors
from tests.http import Clock
from tests.told import told
from tests.world import CONSENTED, NOW, World

HOUR = timedelta(hours=1)


@PROVES
async def test_the_whole_life_of_a_change(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    stays, silent, leaves = [await new_driver(world, *ALL) for _ in range(3)]
    people = {one.member_id: await as_driver(world, one) for one in (stays, silent, leaves)}
    status, change = await announce(client, boss)
    assert (status, change["state"], change["effective_at"]) == (201, "announced", rfc3339(DUE))

    # In the window: one agrees, one does nothing, one withdraws; nobody loses anything yet.
    clock.at = NOW + timedelta(days=10)
    status, agreed = await agreement(client, people[stays.member_id], change["change_id"])
    assert (status, agreed["agreed_at"]) == (201, rfc3339(clock.at))
    withdrawn = await client.post(
        "/v1/me/consents/location/withdraw", headers=people[leaves.member_id]
    )
    assert withdrawn.status == 200
    clock.at = JUST_BEFORE
    await transfer.run_due(world.pool, world.company_id, clock.at)
    for driver in (stays, silent):
        assert set((await states(world, driver)).values()) == {"given"}
    assert (await history(world, leaves))[-1]["name"] == OPERATOR_BEFORE["name"]

    # On shift when the day comes, as on any day.
    for driver in (stays, silent):
        await act(world, driver, "start", DUE - HOUR)
    assert [await upload(client, clock, one) for one in (stays, silent, leaves)] == [2, 2, 0]
    before = {one.member_id: await gate_of(world, one) for one in (stays, silent, leaves)}
    clock.at = DUE + timedelta(minutes=1)
    await transfer.run_due(world.pool, world.company_id, clock.at)

    assert set((await states(world, stays)).values()) == {"given"}
    assert set((await states(world, silent)).values()) == {"superseded"}
    assert (await states(world, leaves))["location"] == "withdrawn"
    after = {one.member_id: await gate_of(world, one) for one in (stays, silent, leaves)}
    assert since(after[stays.member_id]) == since(before[stays.member_id])
    assert after[stays.member_id].epoch == before[stays.member_id].epoch + len(ALL)
    assert since(after[silent.member_id]) == (None, None, None)
    assert after[leaves.member_id].location_since is None
    clock.at += timedelta(minutes=1)
    assert [await upload(client, clock, one) for one in (stays, silent, leaves)] == [2, 0, 0]

    # Who was silent is told, and consents anew to the new controller.
    (told,) = await notices(client, people[silent.member_id], "controller_changed")
    assert TO.name in told["text"]
    assert "location" in told["text"]
    given, _ = await call(
        client,
        people[silent.member_id]["Authorization"].removeprefix("Bearer "),
        "POST",
        "/v1/me/consents",
        body("location"),
    )
    assert given == 201
    last = (await history(world, silent))[-1]
    assert {"name": last["name"], "bin": last["bin"]} == OPERATOR
    assert await acts_of(world) == [
        "controller_change_announced",
        "controller_agreed",
        "controller_changed",
    ]


@PROVES
async def test_editions_and_what_they_promise_go_on_under_the_new_controller(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    async def current(document: str) -> Any:
        asked = {"company_id": str(world.company_id), "language": "ru"}
        return await (await client.get(f"/v1/policies/{document}/current", params=asked)).json()

    tables = ("policy_edition", "policy_text", "policy_acceptance", "policy_applied")
    headers = await as_driver(world, world.driver)
    shown = {one.value: await current(one.value) for one in Document}
    accepted = {
        name: shown["driver_notice"][name] for name in ("document", "edition", "language", "sha256")
    }
    await client.post("/v1/me/policy-acceptances", json=accepted, headers=headers)
    _, change = await announce(client, boss)
    await agreement(client, headers, change["change_id"])
    before = [await world.owner.fetch(f"SELECT * FROM {one}") for one in tables]  # noqa: S608 - names above
    kept_for = await kept_times(world)
    clock.at = DUE
    await transfer.run_due(world.pool, world.company_id, clock.at)

    assert [await world.owner.fetch(f"SELECT * FROM {one}") for one in tables] == before  # noqa: S608 - names above
    for document, then in shown.items():
        now = await current(document)
        assert {name: now[name] for name in ("edition", "sha256", "template")} == {
            name: then[name] for name in ("edition", "sha256", "template")
        }
    promised = (await current("privacy_notice"))["text"]
    assert (TO.name in promised, OPERATOR_BEFORE["name"] in promised) == (True, False)
    # What a driver consented to is kept as long, used for the same and held in the same place.
    assert await kept_times(world) == kept_for
    assert BODY["name"] == (await history(world, world.driver))[-1]["name"]


async def kept_times(world: World) -> list[Any]:
    """Return what the newest given record of each item promises, but for whom it names."""
    rows = await world.owner.fetch(
        "SELECT DISTINCT ON (item) item, p - 'pii_controllers' AS purpose, notice_sha256"
        " FROM consent_record, jsonb_array_elements(record::jsonb->'pii_processing'->'purposes') p"
        " WHERE state = 'given' ORDER BY item, version DESC"
    )
    return [tuple(row) for row in rows]


async def test_earlier_records_stay_as_they_were_and_later_ones_name_the_new_controller(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    headers = await as_driver(world, world.driver)
    _, change = await announce(client, boss)
    await agreement(client, headers, change["change_id"])
    before = await history(world, world.driver)
    first = await (await client.get("/v1/me/consents/records", headers=headers)).json()
    clock.at = DUE
    await transfer.run_due(world.pool, world.company_id, clock.at)

    after = await history(world, world.driver)
    assert after[: len(before)] == before
    new = after[len(before) :]
    assert [one["state"] for one in new] == ["superseded", "given"] * len(before)
    for one in new:
        named = OPERATOR if one["state"] == "given" else OPERATOR_BEFORE
        assert {"name": one["name"], "bin": one["bin"]} == named
    for one in new[1::2]:
        assert (one["held_since"], one["recorded_at"]) == (CONSENTED, DUE)
        assert one["valid_until"] == CONSENTED + timedelta(days=365)
    found = await (await client.get("/v1/me/consents", headers=headers)).json()
    given = [one["given_at"] for one in found["items"] if one["state"] == "given"]
    assert given == [rfc3339(CONSENTED)] * len(before)
    # The receipt of an old record still names the old controller, a new one the new.
    listed = await (await client.get("/v1/me/consents/records", headers=headers)).json()
    anew = next(
        one["record_id"]
        for one in listed["items"]
        if (one["state"], one["recorded_at"]) == ("given", rfc3339(DUE))
    )
    for record_id, name in (
        (first["items"][0]["record_id"], OPERATOR_BEFORE["name"]),
        (anew, TO.name),
    ):
        receipt = await client.get(f"/v1/me/consents/records/{record_id}/receipt", headers=headers)
        text = (await receipt.json(content_type=None))["record"]
        assert text["law_94_v_article_8_4"]["operator"]["name"] == name


async def test_a_minor_s_agreement_alone_carries_nothing_of_their_location_on(
    world: World, client: ClientSession, clock: Clock, boss: dict[str, str]
) -> None:
    young = await new_driver(world)
    await minors.state(world, young.member_id, minors.MINOR)
    await minors.agree(world, young.member_id)
    headers = await as_driver(world, young)
    for item in ("location", "plan_fact", "notifications"):
        given = await client.post("/v1/me/consents", json=body(item), headers=headers)
        assert given.status == 201
    _, change = await announce(client, boss)
    await agreement(client, headers, change["change_id"])
    clock.at = DUE
    await transfer.run_due(world.pool, world.company_id, clock.at)

    # The guardian consented to the company of before.
    assert await states(world, young) == {
        "location": "superseded",
        "plan_fact": "superseded",
        "notifications": "given",
    }
    # So they are asked anew as well, and the driver is told.
    refused = await client.post("/v1/me/consents", json=body("location"), headers=headers)
    assert (refused.status, (await refused.json())["code"]) == (409, "guardian-consent-needed")
    assert ("guardian_consent_lapsed", {"ended_at": rfc3339(DUE)}) in await told(
        world, young.member_id
    )
    act = "SELECT actor_kind FROM ledger_entry WHERE act = 'guardian_consent_revoked'"
    assert [row["actor_kind"] for row in await world.owner.fetch(act)] == ["system"]
    await minors.agree(world, young.member_id, DUE)
    again = await client.post("/v1/me/consents", json=body("location"), headers=headers)
    assert again.status == 201


async def given_between_the_change_and_the_move(
    world: World,
    client: ClientSession,
    clock: Clock,
    boss: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Let a minor give when the particulars have changed and their turn has not come."""
    # What gives refuses that (tests/controllers/test_between.py); the job does not rely on it.
    monkeypatch.setattr(GuardianConsent, "is_to_company_before", property(lambda _: False))
    young = await new_driver(world)
    await minors.state(world, young.member_id, minors.MINOR)
    await minors.agree(world, young.member_id)
    headers = await as_driver(world, young)
    _, change = await announce(client, boss)
    clock.at = DUE
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.apply(conn, world.company_id, UUID(change["change_id"]), now=DUE)
    given = await client.post("/v1/me/consents", json=body("location"), headers=headers)
    assert given.status == 201
    await transfer.run_due(world.pool, world.company_id, clock.at)
    return await states(world, young)


async def test_what_rests_on_the_guardian_of_before_ends_also_if_it_names_the_new_controller(
    world: World,
    client: ClientSession,
    clock: Clock,
    boss: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await given_between_the_change_and_the_move(world, client, clock, boss, monkeypatch)

    assert found == {"location": "superseded"}


async def test_control_by_the_controller_alone_it_would_go_on_without_a_guardian(
    world: World,
    client: ClientSession,
    clock: Clock,
    boss: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consents, "_guardian_of", lambda _given: None)

    found = await given_between_the_change_and_the_move(world, client, clock, boss, monkeypatch)

    assert found == {"location": "given"}
