"""The wire: bodies that fit and those that do not; a track in three formats."""

import gzip
import json
from datetime import timedelta
from typing import Any

import gpxpy
import pytest
import zstandard

from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.wire import rfc3339
from tests.http import bearer
from tests.uploading import Api, positions
from tests.world import NOW, add_driver

ONE = {"recorded_at": rfc3339(NOW), "lat": 51.1, "lon": 71.4}
COLUMNS = {"recorded_at_ms": [1_795_348_800_000], "lat": [51.1], "lon": [71.4]}


async def post_raw(api: Api, body: bytes, **headers: str) -> tuple[int, Any]:
    known = {"Content-Type": "application/json", **bearer(api.world.driver.device_token)}
    async with api.client.post("/v1/positions", data=body, headers=known | headers) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.proves("relog-service:1.6")
@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"lat": 90.0001}, "/positions/0/lat", "less_than_equal"),
        ({"lat": True}, "/positions/0/lat", "float_type"),
        ({"lat": "51"}, "/positions/0/lat", "float_type"),
        ({"lat": None}, "/positions/0/lat", "float_type"),
        ({"lon": -180.1}, "/positions/0/lon", "greater_than_equal"),
        ({"accuracy_m": -1}, "/positions/0/accuracy_m", "greater_than_equal"),
        ({"speed_mps": 601}, "/positions/0/speed_mps", "less_than_equal"),
        ({"heading_deg": 360.1}, "/positions/0/heading_deg", "less_than_equal"),
        ({"altitude_m": 1e9}, "/positions/0/altitude_m", "less_than_equal"),
        ({"battery_pct": 101}, "/positions/0/battery_pct", "less_than_equal"),
        ({"battery_pct": 50.5}, "/positions/0/battery_pct", "int_type"),
        ({"battery_pct": False}, "/positions/0/battery_pct", "int_type"),
        ({"source": "radio"}, "/positions/0/source", "literal_error"),
        ({"app_state": "asleep"}, "/positions/0/app_state", "literal_error"),
        ({"mock": 1}, "/positions/0/mock", "bool_type"),
        ({"recorded_at": "2026-11-22T12:00:00"}, "/positions/0/recorded_at", None),
        ({"recorded_at": "-62135596800"}, "/positions/0/recorded_at", None),
        ({"recorded_at": 1_795_348_800}, "/positions/0/recorded_at", "string_type"),
        ({"recorded_at": "2026-02-30T12:00:00Z"}, "/positions/0/recorded_at", "value_error"),
        ({"recorded_at": "1999-12-31T23:59:59Z"}, "/positions/0/recorded_at", None),
        ({"extra": 1}, "/positions/0/extra", "extra_forbidden"),
    ],
)
async def test_a_position_that_does_not_fit_is_named(
    api: Api, change: dict[str, Any], path: str, code: str | None
) -> None:
    status, answer = await api.post({"positions": [ONE | change]})

    assert (status, answer["code"]) == (422, "fields-invalid")
    assert answer["fields"][0]["path"] == path
    assert code is None or answer["fields"][0]["code"] == code
    assert "51" not in json.dumps(answer)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
async def test_a_number_that_is_none_is_refused(api: Api, number: bytes) -> None:
    body = json.dumps({"positions": [ONE]}).encode().replace(b"51.1", number)

    status, _ = await post_raw(api, body)

    assert status in (400, 422)
    assert await api.rows() == 0


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"lat": [51.1, 51.2]}, "/columns/lat"),
        ({"lat": [None]}, "/columns/lat/0"),
        ({"speed_mps": []}, "/columns/speed_mps"),
        ({"mock": [None, True]}, "/columns/mock"),
        ({"recorded_at_ms": [946_684_799_999]}, "/columns/recorded_at_ms/0"),
        ({"recorded_at_ms": [1.5]}, "/columns/recorded_at_ms/0"),
        ({"source": ["radio"]}, "/columns/source/0"),
    ],
)
async def test_columns_that_do_not_fit_are_named(
    api: Api, change: dict[str, Any], path: str
) -> None:
    status, answer = await api.post({"columns": COLUMNS | change})

    assert status == 422
    assert answer["fields"][0]["path"] == path


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"positions": []},
        {"positions": [ONE], "columns": COLUMNS},
        {"positions": [ONE] * 10_001},
        {"positions": [ONE], "batch_id": "x" * 65},
        {"positions": [ONE], "batch_id": "\u202e"},
        {"positions": [ONE], "sent_at": "now"},
        {"positions": None},
        [ONE],
    ],
)
async def test_a_body_that_is_not_an_upload_is_refused(api: Api, body: object) -> None:
    status, answer = await api.post(body)

    assert (status, answer["code"]) == (422, "fields-invalid")
    assert await api.rows() == 0


@pytest.mark.parametrize(
    "twice",
    [
        b'{"positions":[%s],"positions":[%s]}' % ((json.dumps(ONE).encode(),) * 2),
        b'{"positions":[%s]}' % json.dumps(ONE).encode().replace(b'"lat"', b'"lat": 1, "lat"'),
        b'{"positions":[%s]}' % json.dumps(ONE).encode().replace(b'"lat"', b'"lat":1,"l\\u0061t"'),
        b'{"columns":%s}' % json.dumps(COLUMNS).encode().replace(b'"lon"', b'"lon":[1],"lon"'),
        b'{"batch_id":"a","batch_id":"b","positions":[%s]}' % json.dumps(ONE).encode(),
        b'{"batch_id":null,"batch_id":null,"positions":[%s]}' % json.dumps(ONE).encode(),
    ],
)
async def test_a_member_given_twice_is_refused(api: Api, twice: bytes) -> None:
    status, answer = await post_raw(api, twice)

    assert (status, answer["code"]) == (400, "json-key-twice")
    assert await api.rows() == 0


@pytest.mark.parametrize("batch_id", ['a"b', "a\\b", "жолда", "a:b,c"])
async def test_quotes_and_escapes_in_a_batch_id_are_no_doubled_members(
    api: Api, batch_id: str
) -> None:
    answer = await api.upload([ONE], batch_id=batch_id, sent_at=None)

    assert answer["accepted"] == 1


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_bodies_may_be_compressed(api: Api, encoding: str, squeeze: Any) -> None:
    body = squeeze(json.dumps({"positions": positions(60)}).encode())

    status, answer = await post_raw(api, body, **{"Content-Encoding": encoding})

    assert (status, answer["accepted"]) == (200, 60)


async def test_two_mebibytes_are_the_limit_after_decompression(api: Api) -> None:
    body = gzip.compress(b" " * (2 * 1024 * 1024 + 1))

    status, _ = await post_raw(api, body, **{"Content-Encoding": "gzip"})

    assert status == 413


async def test_ten_thousand_positions_are_one_upload(api: Api) -> None:
    place = range(10_000)
    columns = {
        "recorded_at_ms": [1_795_348_800_000 - 500 * one for one in place],
        "lat": [51.1 + one / 1e6 for one in place],
        "lon": [71.4] * 10_000,
    }

    status, answer = await api.post({"columns": columns})

    assert (status, answer["accepted"]) == (200, 10_000)
    assert await api.rows() == 1


async def read(api: Api, token: str, driver_id: object = None, **query: str) -> tuple[int, Any]:
    asked = {
        "from": rfc3339(NOW - timedelta(hours=3)),
        "to": rfc3339(NOW + timedelta(hours=1)),
    } | query
    path = f"/v1/drivers/{driver_id or api.world.driver.member_id}/track"
    async with api.client.get(path, params=asked, headers=bearer(token)) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        if "xml" in answer.content_type:
            return answer.status, await answer.text()
        return answer.status, await answer.json(content_type=None)


async def test_a_dispatcher_reads_the_track_as_columns(api: Api) -> None:
    sent = positions(3, accuracy_m=4.5, source="gps", battery_pct=80)
    await api.upload(sent)

    status, track = await read(api, await api.world.session("dispatcher"))

    assert status == 200
    assert track == {
        "driver_id": str(api.world.driver.member_id),
        "from": rfc3339(NOW - timedelta(hours=3)),
        "to": rfc3339(NOW + timedelta(hours=1)),
        "purpose": "plan_fact",
        "availability": "full",
        "count": 3,
        "shown": 3,
        "next_cursor": None,
        "stretches": [0],
        "columns": {
            "recorded_at": [one["recorded_at"] for one in sent],
            "lat": [one["lat"] for one in sent],
            "lon": [one["lon"] for one in sent],
            "accuracy_m": [4.5] * 3,
            "speed_mps": [None] * 3,
            "heading_deg": [None] * 3,
            "altitude_m": [None] * 3,
            "battery_pct": [80] * 3,
            "source": ["gps"] * 3,
        },
    }


@pytest.mark.proves("gocargo:use-of-the-site-other-users")
async def test_drivers_read_their_own_track_and_nobody_elses(api: Api) -> None:
    await api.upload(positions(3))
    other = await add_driver(api.world.vault, api.world.pool, api.world.company_id)

    own_status, own = await read(api, await api.world.driver_session())
    status, problem = await read(api, await api.world.driver_session(other))

    assert (own_status, own["purpose"], own["count"]) == (200, "subject_access", 3)
    assert (status, problem["code"]) == (404, "driver-not-found")


async def test_without_consent_to_plan_fact_staff_get_nothing(api: Api) -> None:
    await api.upload(positions(3))
    driver = (api.world.company_id, api.world.driver.member_id)
    async with gates.stopping(api.world.pool, *driver, now=NOW) as conn:
        await gates.set_consent(conn, *driver, GateItem.PLAN_FACT, None)

    _, staff = await read(api, await api.world.session("main_user"))
    _, own = await read(api, await api.world.driver_session())

    assert (staff["availability"], staff["count"]) == ("not_shared", 0)
    assert (own["availability"], own["count"]) == ("full", 3)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"from": rfc3339(NOW), "to": rfc3339(NOW)}, "track-span-invalid"),
        ({"from": rfc3339(NOW - timedelta(days=32))}, "track-span-invalid"),
        ({"format": "kml"}, "fields-invalid"),
        ({"from": "yesterday"}, "fields-invalid"),
    ],
)
async def test_a_span_that_cannot_be_read_is_refused(
    api: Api, query: dict[str, str], code: str
) -> None:
    status, problem = await read(api, await api.world.session("dispatcher"), **query)

    assert (status, problem["code"]) == (422, code)


async def two_segments_and_a_window(api: Api) -> None:
    """Positions with a gap over 120 s, then a pause with positions 20 s apart around it."""
    driver = (api.world.company_id, api.world.driver.member_id)
    async with db.tenant(api.world.pool, api.world.company_id) as conn:
        await gates.close_window(conn, *driver, at=NOW - timedelta(seconds=25))
        await gates.open_window(
            conn,
            *driver,
            at=NOW - timedelta(seconds=15),
            expires_at=NOW + timedelta(hours=1),
        )
    await api.upload(positions(2, until=NOW - timedelta(minutes=5), altitude_m=350.5))
    await api.upload(positions(2, until=NOW - timedelta(seconds=30)))
    await api.upload(positions(1))


async def test_geojson_has_a_line_a_segment_with_longitude_first(api: Api) -> None:
    await two_segments_and_a_window(api)

    _, track = await read(api, await api.world.session("dispatcher"), format="geojson")

    shapes = [one["geometry"] for one in track["features"]]
    assert [one["type"] for one in shapes] == ["LineString", "LineString", "Point"]
    assert shapes[0]["coordinates"] == [[71.4, 51.1], [71.3999, 51.1001]]
    assert shapes[2]["coordinates"] == [71.4, 51.1]


async def test_gpx_has_a_segment_at_each_gap_and_window_end(api: Api) -> None:
    await two_segments_and_a_window(api)

    _, xml = await read(api, await api.world.session("dispatcher"), format="gpx")

    segments = gpxpy.parse(xml).tracks[0].segments
    assert [len(one.points) for one in segments] == [2, 2, 1]
    assert segments[0].points[0].elevation == 350.5
    assert segments[2].points[0].elevation is None
    assert segments[2].points[0].time == NOW


async def test_an_empty_track_is_an_answer_in_every_format(api: Api) -> None:
    token = await api.world.session("dispatcher")

    _, plain = await read(api, token)
    _, shapes = await read(api, token, format="geojson")
    _, xml = await read(api, token, format="gpx")

    assert (plain["availability"], plain["count"]) == ("no_positions", 0)
    assert shapes["features"] == []
    assert gpxpy.parse(xml).tracks[0].segments == []
