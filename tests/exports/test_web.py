"""Asking for one's data over HTTP: whose it is, who may fetch it, and how often."""

import asyncio
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.credentials.model import MemberState
from server.exports.model import KEPT, LINK_LASTS
from server.exports.web import ENDPOINTS
from server.kit import db
from server.kit.body import BODY_BYTES_MAX
from tests.exports.made import asked, content, files, make, stored
from tests.http import Clock, bearer, serve
from tests.world import NOW, World, add_driver, step_up

DOWNLOAD = "/v1/exports/download"


async def link(client: ClientSession, export_id: UUID, session: str) -> tuple[int, dict[str, Any]]:
    path = f"/v1/me/exports/{export_id}/link"
    async with client.post(path, headers=bearer(session)) as answer:
        return answer.status, await answer.json()


async def stepped_up(world: World) -> str:
    return await step_up(world.pool, await world.driver_session())


async def ready(world: World, clock: Clock) -> UUID:
    export_id = await asked(world, world.driver.member_id, clock)
    assert await make(world, export_id, clock)
    return export_id


@pytest.mark.proves("qoldau:6-ownership")
async def test_from_asking_to_the_file(world: World) -> None:
    clock, session = Clock(), await stepped_up(world)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        async with client.post("/v1/me/exports", headers=bearer(session)) as answer:
            first = await answer.json()
            assert (answer.status, first["state"], first["steps_done"]) == (202, "making", 0)
        async with client.post("/v1/me/exports", headers=bearer(session)) as answer:
            assert (await answer.json())["export_id"] == first["export_id"]
        status, early = await link(client, first["export_id"], session)
        assert (status, early["code"]) == (409, "export-not-ready")

        assert await make(world, UUID(first["export_id"]), clock)

        path = f"/v1/me/exports/{first['export_id']}"
        async with client.get(path, headers=bearer(session)) as answer:
            found = await answer.json()
        assert (found["state"], found["step"]) == ("ready", None)
        assert found["steps_done"] == found["steps_total"]
        assert found["rows_done"] > 0
        async with client.get("/v1/me/exports", headers=bearer(session)) as answer:
            assert await answer.json() == {"items": [found]}
        status, made = await link(client, first["export_id"], session)
        assert status == 201
        async with client.post(DOWNLOAD, data={"token": made["token"]}) as answer:
            data = await answer.read()
            assert answer.status == 200
            assert answer.content_type == "application/zip"
            assert answer.headers["Cache-Control"] == "no-store"
            day = f"{NOW:%Y-%m-%d}"
            assert (
                answer.headers["Content-Disposition"] == f'attachment; filename="my-data_{day}.zip"'
            )
    assert len(data) == found["size_bytes"]
    assert "manifest.json" in files(data)
    fetched = "SELECT count(*) FROM ledger_entry WHERE act = 'export_fetched'"
    assert await world.owner.fetchval(fetched) == 1


@pytest.mark.proves("relog-service:6.2", "relog-driver-manager-apps:4.2.1")
async def test_a_link_needs_a_log_in_of_just_now(world: World) -> None:
    clock, session = Clock(), await world.driver_session()
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        status, refused = await link(client, export_id, session)
        assert (status, refused["code"]) == (403, "step-up-needed")

        status, _ = await link(client, export_id, await step_up(world.pool, session))  # the control
        assert status == 201


async def test_of_many_who_come_with_one_token_one_gets_the_file(world: World) -> None:
    clock = Clock()
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        _, made = await link(client, export_id, await stepped_up(world))

        async def fetch() -> int:
            async with client.post(DOWNLOAD, json={"token": made["token"]}) as answer:
                await answer.read()
                return answer.status

        found = sorted(await asyncio.gather(*(fetch() for _ in range(4))))

    assert found == [200, 410, 410, 410]


async def test_a_link_is_over_in_ten_minutes_and_with_the_next_one(world: World) -> None:
    clock, session = Clock(), await stepped_up(world)
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        _, first = await link(client, export_id, session)
        _, second = await link(client, export_id, session)
        async with client.post(DOWNLOAD, json={"token": first["token"]}) as answer:
            assert answer.status == 410
        clock.at += LINK_LASTS
        async with client.post(DOWNLOAD, json={"token": second["token"]}) as answer:
            over = await answer.json()

        assert (answer.status, over["code"]) == (410, "export-link-over")
        for nonsense in ("x", first["token"][:-1], world.driver.device_token):
            async with client.post(DOWNLOAD, data={"token": nonsense}) as answer:
                again = await answer.json()
            # Whether it ever was one is not told.
            assert (answer.status, {**again, "instance": 0}) == (410, {**over, "instance": 0})


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("token=je_x&token=je_y", 400),
        ("", 422),
        ("token=", 422),
        ("token=je_x&other=1", 422),
        (f"token={'x' * 5_000}", 422),
        (f"token={'x' * BODY_BYTES_MAX}", 413),
    ],
    ids=["twice", "empty", "blank", "more", "long", "too much"],
)
async def test_a_form_is_read_as_strictly_as_json(world: World, form: str, status: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with (
        serve(world, ENDPOINTS) as client,
        client.post(DOWNLOAD, data=form.encode(), headers=headers) as answer,
    ):
        assert answer.status == status


async def test_a_package_that_is_over_is_fetched_by_nobody_removed_or_not(world: World) -> None:
    clock, session = Clock(), await stepped_up(world)
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        clock.at = NOW + KEPT - timedelta(minutes=1)
        await world.owner.execute(
            "UPDATE session SET expires_at = $1, used_at = $1", clock.at + KEPT
        )
        await step_up(world.pool, session)
        status, made = await link(client, export_id, session)
        assert status == 201  # the control
        clock.at = NOW + KEPT
        async with client.post(DOWNLOAD, json={"token": made["token"]}) as answer:
            assert answer.status == 410
        status, refused = await link(client, export_id, session)

    assert (status, refused["code"]) == (409, "export-not-ready")


async def test_another_drivers_package_is_not_there(world: World) -> None:
    clock = Clock()
    export_id = await ready(world, clock)
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other")
    session = await step_up(world.pool, await world.driver_session(other))
    async with serve(world, ENDPOINTS, clock=clock) as client:
        status, refused = await link(client, export_id, session)
        nowhere, unknown = await link(client, other.member_id, session)
        async with client.get(f"/v1/me/exports/{export_id}", headers=bearer(session)) as answer:
            assert answer.status == 404

    assert (status, refused["code"]) == (nowhere, unknown["code"]) == (404, "export-not-found")


@pytest.mark.parametrize("state", [MemberState.BLOCKED, MemberState.OFFBOARDED, MemberState.GRACE])
async def test_who_is_blocked_has_left_or_is_to_be_erased_still_gets_it(
    world: World, state: MemberState
) -> None:
    clock, session = Clock(), await stepped_up(world)
    await world.owner.execute(
        "UPDATE member SET state = $1 WHERE member_id = $2", state.value, world.driver.member_id
    )
    async with serve(world, ENDPOINTS, clock=clock) as client:
        async with client.post("/v1/me/exports", headers=bearer(session)) as answer:
            assert answer.status == 202
            export_id = UUID((await answer.json())["export_id"])
        assert await make(world, export_id, clock)
        _, made = await link(client, export_id, session)
        async with client.post(DOWNLOAD, json={"token": made["token"]}) as answer:
            data = await answer.read()

    assert data == await content(world, await stored(world, export_id))


async def test_a_download_breaks_off_where_the_package_goes(world: World) -> None:
    clock, session = Clock(), await stepped_up(world)
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        _, made = await link(client, export_id, session)
        await world.owner.execute("DELETE FROM export_chunk WHERE place > 3")

        with pytest.raises(Exception):  # noqa: B017, PT011 - the connection is cut
            async with client.post(DOWNLOAD, json={"token": made["token"]}) as answer:
                await answer.read()


async def test_a_token_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = Clock()
    export_id = await ready(world, clock)
    async with serve(world, ENDPOINTS, clock=clock) as client:
        _, made = await link(client, export_id, await stepped_up(world))
        async with client.post(DOWNLOAD, data={"token": made["token"]}) as answer:
            assert made["token"] not in str(answer.url)
            await answer.read()

    assert made["token"] not in caplog.text
    async with db.tenant(world.pool, world.company_id) as conn:
        left = await conn.fetchval(
            "SELECT count(*) FROM export_link WHERE company_id = $1", world.company_id
        )
    assert left == 0
