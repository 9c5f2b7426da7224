"""A track as a file: what stands in it, and that it is whole, however many parts it came in."""

import csv
import io
import json
import re
import tracemalloc
from datetime import timedelta

import gpxpy
import pytest

from server.tracking import render, web
from tests.http import bearer
from tests.tracking import stored
from tests.tracking.asked import FORMATS, asked_on_a_socket, path, read
from tests.uploading import Api, positions
from tests.world import NOW


async def test_csv_has_units_in_its_names_and_nothing_where_nothing_is_known(api: Api) -> None:
    await api.upload(
        positions(2, accuracy_m=4.5, source="gps", battery_pct=80)
        + positions(1, until=NOW + timedelta(seconds=1), altitude_m=-12.3, speed_mps=0)
    )

    body, headers = await read(
        api, await api.world.session("dispatcher"), NOW - timedelta(hours=1), "csv"
    )

    assert body.decode("ascii") == (
        "recorded_at,lat_deg,lon_deg,accuracy_m,speed_mps,heading_deg,altitude_m,battery_pct,"
        "source\r\n"
        "2026-11-22T11:59:50.000Z,51.1000000,71.4000000,4.5,,,,80,gps\r\n"
        "2026-11-22T12:00:00.000Z,51.1001000,71.3999000,4.5,,,,80,gps\r\n"
        "2026-11-22T12:00:01.000Z,51.1000000,71.4000000,,0.00,,-12.3,,\r\n"
    )
    assert headers["Content-Type"] == "text/csv"
    assert headers["Content-Disposition"] == (
        'attachment; filename="track_20261122T110000Z_20261122T120100Z.csv"'
    )
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("role", ["dispatcher", "driver"])
@pytest.mark.parametrize("media", FORMATS)
async def test_a_long_file_comes_in_parts_and_is_the_one_of_a_single_part(
    api: Api, monkeypatch: pytest.MonkeyPatch, media: str, role: str
) -> None:
    began = await stored.day(api.world, 3)
    await stored.store(api.world, began - timedelta(minutes=7), 60)  # a stretch of its own
    await stored.share(api.world, began - timedelta(hours=1))
    world = api.world
    token = await (world.driver_session() if role == "driver" else world.session(role))
    since = began - timedelta(hours=1)
    whole, at_once = await read(api, token, since, media)
    monkeypatch.setattr(web, "PART_POSITIONS", 500)

    in_parts, headers = await read(api, token, since, media)

    assert in_parts == whole
    assert (at_once.get("Transfer-Encoding"), headers["Transfer-Encoding"]) == (None, "chunked")
    assert "Content-Length" not in headers
    assert whole.count(b"2026-11-22T") >= 3 * 3600 + 60


async def test_every_position_is_in_every_file_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    began = await stored.day(api.world, 2)
    token = await api.world.session("dispatcher")
    rows = list(csv.DictReader(io.StringIO((await read(api, token, began, "csv"))[0].decode())))
    lines = json.loads((await read(api, token, began, "geojson"))[0])
    gpx = gpxpy.parse((await read(api, token, began, "gpx"))[0].decode())

    [line] = lines["features"]
    [segment] = gpx.tracks[0].segments
    assert (lines["count"], lines["shown"], lines["availability"]) == (7200, 7200, "full")
    assert [one["recorded_at"] for one in rows] == sorted({one["recorded_at"] for one in rows})
    points = [[float(one["lon_deg"]), float(one["lat_deg"])] for one in rows]
    assert len(points) == 7200
    assert points == line["geometry"]["coordinates"]
    assert points == [[one.longitude, one.latitude] for one in segment.points]
    assert segment.points[1].elevation == 350.5


async def test_a_very_long_line_is_several_that_touch(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "LINE_POSITIONS_MAX", 2000)
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    began = await stored.day(api.world, 2)

    body, _ = await read(api, await api.world.session("dispatcher"), began, "geojson")

    lines = json.loads(body)["features"]
    places = [one["geometry"]["coordinates"] for one in lines]
    assert [len(one) for one in places] == [2000, 2000, 2000, 1203]
    assert [one["properties"].get("continued") for one in lines] == [None, True, True, True]
    assert [one[-1] for one in places[:-1]] == [one[0] for one in places[1:]]
    assert sum(map(len, places)) == 7200 + 3


async def test_a_line_is_cut_at_the_antimeridian(api: Api) -> None:
    await stored.share(api.world, NOW - timedelta(hours=1))
    began = NOW - timedelta(minutes=30)
    await stored.store(api.world, began, 100, lon_0=179.995)
    token = await api.world.session("dispatcher")

    whole = json.loads((await read(api, token, began, "geojson"))[0])
    far = json.loads((await read(api, token, began, "geojson&zoom=3"))[0])

    assert [len(one["geometry"]["coordinates"]) for one in whole["features"]] == [50, 50]
    for track in (whole, far):
        lons = [[lon for lon, _ in one["geometry"]["coordinates"]] for one in track["features"]]
        assert lons[0][0] == 179.995
        assert lons[0][-1] == 179.9999
        assert [lons[1][0], lons[1][-1]] == [-180.0, -179.9951]
    assert (far["count"], far["shown"]) == (100, 4)


async def test_gpx_has_no_longitude_of_180_degrees(api: Api) -> None:
    began = NOW - timedelta(minutes=30)
    await stored.share(api.world, began)
    for seconds, lon in enumerate((180.0, 179.99999996, -180.0, 179.9999999)):
        await stored.store(api.world, began + timedelta(seconds=seconds), 1, lon_0=lon)
    token = await api.world.session("dispatcher")

    body, _ = await read(api, token, began, "gpx")

    lons = re.findall(rb'lon="([^"]+)"', body)
    assert lons == [b"-180.0000000"] * 3 + [b"179.9999999"]


async def test_an_empty_file_is_whole(api: Api) -> None:
    token = await api.world.session("dispatcher")

    body, headers = await read(api, token, NOW - timedelta(days=30), "csv")

    assert body.count(b"\r\n") == 1
    assert headers["Content-Length"] == str(len(body))


async def test_to_http_1_0_a_file_ends_with_the_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 500)
    began = await stored.day(api.world, 1)
    async with asked_on_a_socket(api, began, version="1.0") as (reader, _):
        head, body = (await reader.read(-1)).split(b"\r\n\r\n", 1)

    assert b"chunked" not in head
    assert body.count(b"\r\n") == 3601
    assert re.search(rb"^[0-9a-f]+\r\n", body) is None


async def test_memory_does_not_grow_with_the_span(api: Api) -> None:
    async def peak(hours: int) -> int:
        token = await api.world.session("dispatcher")
        tracemalloc.start()
        try:
            url = path(api, NOW - timedelta(hours=hours), "csv")
            async with api.client.get(url, headers=bearer(token)) as answer:
                rows = 0
                async for chunk in answer.content.iter_any():
                    rows += chunk.count(b"\n")
            assert rows == 1 + 3600 * hours
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await stored.day(api.world, 48)

    assert await peak(48) < 1.25 * await peak(12)
