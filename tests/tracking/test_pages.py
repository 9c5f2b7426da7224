"""A long track in pages of JSON: nothing lost, nothing doubled, whatever lies at their ends."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.kit.wire import rfc3339
from server.tracking import service, web
from tests.http import bearer
from tests.tracking import stored
from tests.uploading import Api, positions
from tests.world import NOW, add_driver

FROM = NOW - timedelta(hours=12)


async def ask(
    api: Api, token: str, *, since: datetime = FROM, driver_id: object = None, **query: Any
) -> tuple[int, Any]:
    path = f"/v1/drivers/{driver_id or api.world.driver.member_id}/track"
    asked = {"from": rfc3339(since), "to": rfc3339(NOW + timedelta(hours=1))}
    asked |= {name: str(value) for name, value in query.items()}
    async with api.client.get(path, params=asked, headers=bearer(token)) as answer:
        return answer.status, await answer.json(content_type=None)


async def pages(api: Api, token: str, limit: int) -> list[dict[str, Any]]:
    """Read page by page to the end."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        status, page = await ask(api, token, limit=limit, **more)
        assert status == 200, page
        assert page["count"] <= limit
        found.append(page)
        if page["next_cursor"] is None:
            return found
        more = {"cursor": page["next_cursor"]}


def fixes(page: dict[str, Any]) -> list[tuple[str, float, float]]:
    columns = page["columns"]
    return list(zip(columns["recorded_at"], columns["lat"], columns["lon"], strict=True))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50, 1000])
async def test_pages_are_the_whole_in_order_also_where_devices_share_a_time(
    api: Api, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 5)
    began = NOW - timedelta(minutes=5)
    for device in (3, 0, 7):
        await stored.store(api.world, began, 16, device=device, lon_0=71 + device)
    await stored.store(api.world, began + timedelta(seconds=8), 4, device=0, lon_0=71.0008)
    token = await api.world.session("dispatcher")
    _, whole = await ask(api, token)

    found = await pages(api, token, limit)

    assert whole["count"] == 48
    assert [fix for page in found for fix in fixes(page)] == fixes(whole)
    assert len(found) == -(-48 // limit)


async def test_a_page_reads_no_more_than_it_shows_and_a_part(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.day(api.world)
    sizes = []
    opened = service.opened

    def counting(found: service.SealedTrack) -> Any:
        track = opened(found)
        sizes.append(len(track))
        return track

    monkeypatch.setattr(service, "opened", counting)
    _, page = await ask(api, await api.world.session("dispatcher"), limit=10)

    assert page["count"] == 10
    assert sum(sizes) <= 3600


async def test_what_is_uploaded_between_two_pages_is_found_behind_the_cursor_only(
    api: Api,
) -> None:
    await api.upload(positions(10, until=NOW - timedelta(minutes=10)))
    token = await api.world.session("dispatcher")
    _, first = await ask(api, token, limit=5)
    await api.upload(positions(1, until=NOW - timedelta(minutes=30)))
    await api.upload(positions(1, until=NOW))

    _, second = await ask(api, token, limit=50, cursor=first["next_cursor"])

    times = [time for page in (first, second) for time, *_ in fixes(page)]
    assert len(times) == len(set(times)) == 11
    assert times == sorted(times)
    assert times[-1] == rfc3339(NOW)


async def test_the_person_themself_reads_page_by_page_too(api: Api) -> None:
    await api.upload(positions(25))

    found = await pages(api, await api.world.driver_session(), 10)

    assert [page["count"] for page in found] == [10, 10, 5]
    assert {page["availability"] for page in found} == {"full"}


async def test_a_cursor_is_taken_back_for_the_same_question_only(api: Api) -> None:
    await api.upload(positions(10))
    token = await api.world.session("dispatcher")
    _, first = await ask(api, token, limit=5)
    other = await add_driver(api.world.vault, api.world.pool, api.world.company_id)
    cursor = first["next_cursor"]
    flipped = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    flipped[5] ^= 1

    answers = [
        await ask(api, token, cursor=cursor, driver_id=other.member_id),
        await ask(api, token, cursor=cursor, since=FROM - timedelta(seconds=1)),
        await ask(api, token, cursor=base64.urlsafe_b64encode(flipped).decode().rstrip("=")),
        await ask(api, token, cursor="A" * 23),
        await ask(api, token, cursor="жолда"),
    ]

    assert [(status, told["code"]) for status, told in answers] == [(422, "cursor-invalid")] * 5
    assert {told["fields"][0]["path"] for _, told in answers} == {"?cursor"}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": 0}, "?limit"),
        ({"limit": 100_001}, "?limit"),
        ({"zoom": 23}, "?zoom"),
        ({"zoom": -1}, "?zoom"),
        ({"cursor": "A" * 65}, "?cursor"),
        ({"format": "csv", "zoom": 5}, "?zoom"),
        ({"format": "gpx", "limit": 5}, "?limit"),
        ({"format": "geojson", "cursor": "AAAA"}, "?cursor"),
    ],
)
async def test_what_a_format_does_not_take_is_refused_by_name(
    api: Api, query: dict[str, Any], path: str
) -> None:
    status, told = await ask(api, await api.world.session("dispatcher"), **query)

    assert (status, told["code"]) == (422, "fields-invalid")
    assert told["fields"][0]["path"] == path


async def test_a_page_for_the_map_holds_what_makes_a_difference_there(api: Api) -> None:
    began = await stored.day(api.world, 2)
    await stored.store(api.world, began - timedelta(minutes=10), 60)
    await stored.share(api.world, began - timedelta(hours=1))
    token = await api.world.session("dispatcher")
    _, whole = await ask(api, token)

    _, far = await ask(api, token, zoom=8)
    _, near = await ask(api, token, zoom=16)

    assert whole["count"] == far["count"] == near["count"] == 7260
    assert whole["shown"] == 7260 > near["shown"] > 10 * far["shown"] > 0
    assert whole["stretches"] == [0, 60]
    for page in (far, near):
        assert len(page["columns"]["source"]) == page["shown"]
        assert set(fixes(page)) <= set(fixes(whole))
        first, second = page["stretches"]
        ends = [fixes(page)[place] for place in (first, second - 1, second, -1)]
        assert ends == [fixes(whole)[place] for place in (0, 59, 60, -1)]
