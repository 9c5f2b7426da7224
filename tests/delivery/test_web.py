from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.credentials.model import Role
from server.delivery.web import ENDPOINTS
from server.kit import openapi
from server.kit.ids import uuid7
from server.notice_kinds.kinds import NoticeKind
from server.notice_kinds.table import OF_INCIDENTS
from tests.delivery.mail import Mailbox, smtp_server
from tests.delivery.stage import deliverer
from tests.http import serve
from tests.kit.schema_walk import unbounded
from tests.notices.asking import get, status_of
from tests.notices.stage import EMAIL, NAME, Reader, add_reader, tell
from tests.world import NOW, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


@pytest.fixture
async def driver(world: World) -> Reader:
    return await add_reader(world)


@pytest.fixture
async def dispatcher(world: World) -> Reader:
    return await add_reader(world, role=Role.DISPATCHER, email="dana@company.example", phone=None)


async def deliver(world: World) -> None:
    async with smtp_server(Mailbox()) as server:
        sender = deliverer(world, server)
        await sender.deliver_due(world.company_id, NOW)


async def test_the_staff_see_where_notices_stand_and_no_text(
    world: World, client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    notice_id = await tell(world, driver.member_id)
    await tell(world, dispatcher.member_id)
    await deliver(world)

    listed = await get(client, dispatcher, f"/v1/notice-deliveries?member_id={driver.member_id}")
    one = await get(client, dispatcher, f"/v1/notices/{notice_id}/deliveries")

    assert [(row["channel"], row["state"]) for row in listed["items"]] == [
        ("email", "handed_over"),
        ("in_app", "handed_over"),
    ]
    assert {row["notice_id"] for row in listed["items"]} == {str(notice_id)}
    assert [(row["channel"], row["event"]) for row in one["items"]] == [
        ("email", "queued"),
        ("email", "handed_over"),
        ("in_app", "handed_over"),
    ]
    for secret in (NAME, EMAIL, "device was added"):
        assert secret not in f"{listed}{one}"


async def test_deliveries_are_found_by_kind_and_state_page_by_page(
    world: World, client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    told = [str(await tell(world, driver.member_id)) for _ in range(3)]
    await deliver(world)

    async def listed(query: str) -> tuple[list[str], str | None]:
        page = await get(client, dispatcher, f"/v1/notice-deliveries?{query}")
        return [one["notice_id"] for one in page["items"]], page["next_cursor"]

    assert await listed("kind=account_blocked") == ([], None)
    assert await listed("state=failed") == ([], None)
    assert len((await listed("kind=device_added&state=handed_over"))[0]) == 6
    first, cursor = await listed("limit=2")
    rest, nothing = await listed(f"limit=2&cursor={cursor}")
    assert sorted({*first, *rest}) == sorted(told)
    assert len(rest) == 2
    assert nothing is None


async def test_only_main_users_see_who_an_incident_affected(
    world: World, client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    main_user = await add_reader(world, role=Role.MAIN_USER, email="m@company.example", phone=None)
    at = NOW.isoformat()
    of_incident = await tell(
        world,
        driver.member_id,
        NoticeKind.INCIDENT_OPENED,
        by_role="dispatcher",
        noticed_at=at,
        due_at=at,
    )
    other = await tell(world, driver.member_id)
    await deliver(world)
    evidence = f"/v1/notices/{of_incident}/deliveries"

    async def listed(reader: Reader, query: str = "") -> set[str]:
        page = await get(client, reader, f"/v1/notice-deliveries?{query}")
        return {one["notice_id"] for one in page["items"]}

    assert await listed(dispatcher) == {str(other)}
    assert await listed(dispatcher, "kind=incident_opened") == set()
    assert await status_of(client, dispatcher, "GET", evidence) == 404
    # The control: they are there.
    assert await listed(main_user) == {str(of_incident), str(other)}
    assert await status_of(client, main_user, "GET", evidence) == 200
    assert NoticeKind.INCIDENT_AFFECTED in OF_INCIDENTS


async def test_a_driver_sees_no_evidence(
    client: ClientSession, driver: Reader, dispatcher: Reader
) -> None:
    for path in ("/v1/notice-deliveries", f"/v1/notices/{uuid7()}/deliveries"):
        assert await status_of(client, driver, "GET", path) == 403
    missing = f"/v1/notices/{uuid7()}/deliveries"
    assert await status_of(client, dispatcher, "GET", missing) == 404


def test_everything_a_caller_may_send_is_bounded() -> None:
    document = openapi.document(ENDPOINTS, title="Jolda", version="0", security={})

    assert unbounded(document) == []
