"""GeoJSON and GPX: what is known is drawn, and nothing else."""

import json
from dataclasses import replace
from typing import Any

import gpxpy
import pytest
from shapely.geometry import shape

from server.report_files import lines
from server.report_files.model import Subject
from tests.report_files.subjects import NAMES, minutes, subject, without_fact


def features(told: Subject, kind: str, state: str | None = None) -> list[dict[str, Any]]:
    collection = json.loads(lines.geojson(told))
    return [
        one
        for one in collection["features"]
        if one["properties"]["kind"] == kind and state in (None, one["properties"].get("state"))
    ]


def test_geojson_tells_plan_stops_and_fact_apart() -> None:
    told = subject()
    collection = json.loads(lines.geojson(told))

    assert collection["type"] == "FeatureCollection"
    assert (collection["plan_version"], collection["availability"]) == (2, "full")
    [plan] = features(told, "plan")
    assert plan["properties"]["straight"] is False
    assert len(plan["geometry"]["coordinates"]) == 200
    stops = features(told, "stop")
    assert [one["properties"]["name"] for one in stops] == list(NAMES)
    assert [one["properties"]["status"] for one in stops][4:6] == ["missed", "unknown"]
    assert stops[4]["properties"]["arrived_at"] is None
    states = {one["properties"]["state"] for one in features(told, "fact")}
    assert states == {"driven", "gap", "off_corridor", "speeding", "stay"}
    for one in collection["features"]:
        if one["geometry"] is not None:
            assert shape(one["geometry"]).is_valid


def test_between_two_recorded_lines_there_is_a_time_and_no_line() -> None:
    told = subject()

    gaps = features(told, "fact", "gap")

    assert [one["geometry"] for one in gaps] == [None, None]
    assert [one["properties"]["from"] for one in gaps] == [
        "2026-11-22T03:20:00Z",
        "2026-11-22T04:50:00Z",
    ]
    assert lines.gaps(told)[1] == (minutes(110), minutes(172))


def test_a_plan_without_a_road_says_that_its_line_is_straight() -> None:
    [plan] = features(subject(line=False), "plan")

    assert plan["properties"]["straight"] is True
    assert len(plan["geometry"]["coordinates"]) == len(NAMES)


def test_gpx_has_the_plan_as_a_route_and_a_segment_for_each_recorded_line() -> None:
    told = subject()

    found = gpxpy.parse(lines.gpx(told).decode())

    [track], [route] = found.tracks, found.routes
    assert [len(one.points) for one in track.segments] == [
        len(one.line) for one in told.report.fact.segments
    ]
    assert [(one.points[0].time, one.points[-1].time) for one in track.segments] == [
        (one.from_at, one.to_at) for one in told.report.fact.segments
    ]
    assert track.segments[0].points[1].time is None
    assert len(route.points) == 200
    assert [one.name for one in found.waypoints] == [
        f"{number}. {name}" for number, name in enumerate(NAMES, start=1)
    ]
    assert [one.type for one in found.waypoints][4:6] == ["missed", "unknown"]


def test_without_a_fact_the_plan_stands_alone() -> None:
    told = without_fact(subject())

    assert features(told, "fact") == []
    assert len(features(told, "plan")) == 1
    assert gpxpy.parse(lines.gpx(told).decode()).tracks[0].segments == []


@pytest.mark.parametrize("direction", [1, -1])
def test_a_line_over_the_antimeridian_is_cut_there(direction: int) -> None:
    told = subject()
    over = [(direction * 179.99, 1.0), (direction * 179.995, 1.0), (-direction * 179.99, 1.0),
            (-direction * 179.98, 1.0)]  # fmt: skip
    told = replace(told, route=replace(told.route, plan=replace(told.route.plan, line=tuple(over))))

    [plan] = features(told, "plan")

    assert plan["geometry"]["type"] == "MultiLineString"
    assert [len(part) for part in plan["geometry"]["coordinates"]] == [2, 2]
    edge = replace(
        told, route=replace(told.route, plan=replace(told.route.plan, line=((180.0, 1), (179, 1))))
    )
    assert b'lon="-180.000000"' in lines.gpx(edge)
