"""Both routers are asked as they want to be."""

import json

import numpy as np
import pytest

from geo.plane import segment_lengths_m
from server.roads.model import (
    ROAD_POINTS_MAX,
    Method,
    RouterAt,
    RouterKind,
)
from server.roads.service import OFF, Roads, roads_of
from server.roads.valhalla import FIXES_MAX, STOPS_MAX
from server.routes.model import LINE_POINTS_MAX
from server.routes.model import STOPS_MAX as PLAN_STOPS_MAX
from tests.roads.drives import COMPANY, PLACES, POINTS, chords_m, drive
from tests.roads.router_server import Place, Roadside, bent, length_m, router_server


async def test_a_road_has_its_line_and_the_length_and_time_of_each_leg(
    roads: Roads, roadside: Roadside
) -> None:
    road = await roads.route(POINTS)

    assert road.method is Method.ROADS
    assert np.allclose(road.line, bent(PLACES), atol=1e-6)
    legs_m = [length_m(bent(pair)) for pair in (PLACES[:2], PLACES[1:])]
    assert np.allclose(road.legs_m, legs_m, atol=1.0)
    assert np.allclose(road.legs_s, np.array(legs_m) / 10.0, atol=0.1)
    assert roadside.places == [PLACES]
    assert roadside.elsewhere == 0


async def test_a_plan_gets_the_line_without_points_that_do_not_shape_it(roads: Roads) -> None:
    many = [(76.8 + at * 1e-4, 43.2) for at in range(30)]

    assert await roads.line(COMPANY, many) == ((76.8, 43.2), (76.8029, 43.2))


async def test_a_plan_of_the_most_stops_is_asked_for_in_stretches(
    roads: Roads, roadside: Roadside, at: RouterAt
) -> None:
    places = [(70.0 + seq * 0.01, 43.0 + seq % 2 * 0.01) for seq in range(PLAN_STOPS_MAX)]

    road = await roads.route(np.array(places))

    assert np.allclose(road.line, bent(places), atol=1e-6)
    assert len(road.legs_m) == len(road.legs_s) == PLAN_STOPS_MAX - 1
    size = STOPS_MAX if at.kind is RouterKind.VALHALLA else 100
    assert max(map(len, roadside.places)) == size
    assert all(a[-1] == b[0] for a, b in zip(roadside.places, roadside.places[1:], strict=False))


async def test_a_track_is_thinned_and_laid_on_roads(roads: Roads, roadside: Roadside) -> None:
    track = drive(400, step=0.0002)

    found = await roads.match(track)

    asked = [place for places in roadside.places for place in places]
    assert len(asked) < 250
    assert min(segment_lengths_m(np.array(roadside.places[0]))) >= 40.0
    assert found.method is Method.ROADS
    assert found.length_m == pytest.approx(length_m([*bent(asked)]), rel=0.3)
    assert found.length_m > 1.2 * chords_m(track.lon_lat)  # the roads have corners


async def test_a_long_track_is_matched_in_stretches(
    roads: Roads, roadside: Roadside, at: RouterAt
) -> None:
    track = drive(1_000)

    found = await roads.match(track)

    size = FIXES_MAX if at.kind is RouterKind.VALHALLA else 100
    assert max(map(len, roadside.places)) == size
    assert found.method is Method.ROADS
    assert found.length_m == pytest.approx(
        chords_m(np.array(bent(track.lon_lat.tolist()))), rel=1e-3
    )


async def test_what_is_on_no_road_stays_as_it_was_driven(roads: Roads, roadside: Roadside) -> None:
    roadside.refused_from = 1
    track = drive(300)

    found = await roads.match(track)

    assert found.method is Method.PARTLY
    assert np.allclose(found.line[-1], track.lon_lat[-1])
    assert chords_m(track.lon_lat) < found.length_m < 1.4 * chords_m(track.lon_lat)


async def test_a_trace_in_two_parts_is_said_to_be_so(roads: Roads, roadside: Roadside) -> None:
    roadside.split_at = 9

    found = await roads.match(drive(20))

    assert found.method is Method.PARTLY
    assert np.allclose(found.line[-1], drive(20).lon_lat[-1], atol=1e-6)


async def test_fixes_at_the_ends_that_osrm_loses_are_kept(roadside: Roadside) -> None:
    roadside.lost = 3
    async with router_server(roadside, RouterKind.OSRM) as at:
        found = await roads_of(at).match(drive(20))

    assert found.method is Method.PARTLY
    assert np.allclose(found.line[:3], drive(20).lon_lat[:3])


async def test_a_matrix_has_seconds_and_metres(roads: Roads) -> None:
    found = await roads.matrix(POINTS)

    metres = [[length_m(bent([a, b])) for b in PLACES] for a in PLACES]
    assert found.method is Method.ROADS
    assert np.allclose(found.metres, metres, rtol=1e-3)
    assert np.allclose(found.seconds * 10.0, metres, rtol=1e-3)


async def test_no_way_between_two_places_is_not_known(roads: Roads, roadside: Roadside) -> None:
    none = {"distance": None, "time": None, "to_index": 0, "from_index": 0}
    cells, rows = [[none] * 3] * 3, [[None] * 3] * 3
    roadside.body = json.dumps(
        {"code": "Ok", "durations": rows, "distances": rows}
        | {"sources_to_targets": cells, "units": "kilometers"}
    ).encode()

    found = await roads.matrix(POINTS)

    assert found.method is Method.ROADS
    assert np.isnan(found.metres).all()


async def test_a_matrix_of_too_many_places_is_refused() -> None:
    with pytest.raises(ValueError, match="50"):
        await OFF.matrix(np.zeros((51, 2)))


async def test_times_of_fixes_are_never_sent(roads: Roads, roadside: Roadside) -> None:
    await roads.match(drive(5))

    assert "time" not in roadside.asked[0]
    assert all("time" not in one for body in roadside.bodies for one in body["shape"])


async def test_places_stand_in_the_url_only_where_the_router_takes_no_other(
    roads: Roads, roadside: Roadside, at: RouterAt
) -> None:
    await roads.route(POINTS)

    assert ("76.88" in roadside.asked[0]) is (at.kind is RouterKind.OSRM)


@pytest.mark.parametrize(
    "places",
    [[], PLACES[:1], [(0.0, 0.0), (179.0, 0.0), (-2.0, 0.0)], [(float("nan"), 1.0), (1.0, 1.0)]],
    ids=["none", "one", "round the Earth", "not finite"],
)
async def test_what_is_no_journey_is_asked_of_nobody(
    roads: Roads, roadside: Roadside, places: list[Place]
) -> None:
    assert await roads.line(COMPANY, places) is None
    assert roadside.asked == []


async def test_a_road_over_the_antimeridian_goes_the_short_way(roads: Roads) -> None:
    line = await roads.line(COMPANY, [(179.99, 65.0), (-179.99, 65.01)])

    assert line is not None
    assert (line[0], line[-1]) == ((179.99, 65.0), (-179.99, 65.01))
    assert chords_m(np.array(line)) < 2_500.0


async def test_two_stops_in_one_place_have_no_line(roads: Roads) -> None:
    assert await roads.line(COMPANY, [PLACES[0], PLACES[0]]) is None


async def test_where_none_is_set_up_nothing_is_asked() -> None:
    road, matched = await OFF.route(POINTS), await OFF.match(drive(5))
    matrix = await OFF.matrix(POINTS)

    assert await OFF.line(COMPANY, PLACES) is None
    assert road.legs_m.tolist() == segment_lengths_m(POINTS).tolist()
    assert matched.method is Method.STRAIGHT
    assert matrix.method is Method.STRAIGHT
    assert np.allclose(matrix.metres, matrix.metres.T)
    assert matrix.metres[0, 1] == pytest.approx(road.legs_m[0])
    assert np.isnan(matrix.seconds).all()


async def test_a_track_of_no_fix_or_one_has_no_length(roads: Roads, roadside: Roadside) -> None:
    lengths = [(await roads.match(drive(count))).length_m for count in (0, 1)]

    assert lengths == [0.0, 0.0]
    assert roadside.asked == []


def test_a_line_of_roads_fits_into_a_plan() -> None:
    assert ROAD_POINTS_MAX <= LINE_POINTS_MAX
