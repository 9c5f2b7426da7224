"""The search against plain Python that looks at every position and every line of every driver."""

import random
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geo.circle import Circle
from server.fleet_tracks.model import LINKS, Sightings, Visit
from server.gate.model import Window
from server.tracking.model import Availability, Track, to_ms
from tests.fleet_tracks.fleet import LAT, LON, SPAN, Fleet
from tests.geo.circles import Fix, Stay, away_from, is_sharp, joined, stays
from tests.world import NOW, SHIFT_STARTED, Driver

WINDOWS: Final = ((0, 400), (430, 900), (900, 100_000))
"""Seconds: after a pause, and right after one another."""
SHARP_S: Final = 0.05
STEPS: Final = st.tuples(
    st.integers(1, 150),
    st.integers(-2_500, 2_500),
    st.integers(-2_500, 2_500),
    st.integers(0, 1),  # the device
)
ROUNDS: Final = 8


class Seen(NamedTuple):
    entered_s: float
    left_s: float
    closest_m: float
    positions: int


def track_of(fixes: list[Fix]) -> Track:
    values = np.full((7, len(fixes)), np.nan)
    values[:2] = np.array([(fix.lat, fix.lon) for fix in fixes]).reshape(-1, 2).T
    return Track(
        time_ms=np.array([to_ms(at(fix.time_s)) for fix in fixes], np.int64),
        values=values,
        flags=np.zeros(len(fixes), np.uint8),
        device=np.array([fix.device for fix in fixes], np.uint8),
        availability=Availability.FULL,
        windows=tuple(Window(opened_at=at(since), end=at(until)) for since, until in WINDOWS),
    )


def at(seconds: float) -> datetime:
    """Return a time of the track, whose clock begins with NOW."""
    return NOW + timedelta(seconds=seconds)


def seen(visit: Visit) -> Seen:
    begin, end = ((one - NOW).total_seconds() for one in (visit.entered_at, visit.left_at))
    return Seen(begin, end, visit.closest_m, visit.positions)


def found_by_oracle(circle: Circle, fixes: list[Fix]) -> list[Stay]:
    """Return the visits; no example is one where a hair's breadth decides."""
    assume(is_sharp(circle, fixes, LINKS))
    pieces = stays(circle, fixes, LINKS)
    less, more = (joined(pieces, apart_s_max=LINKS.apart_s_max + by) for by in (-SHARP_S, SHARP_S))
    assume(len(less) == len(more))
    return [stay for _, stay in more]


@given(
    lat=st.sampled_from([43_238_000, 70_000_000, -89_990_000]),
    lon=st.sampled_from([71_432_109, 179_999_000, -180_000_000]),
    radius_m=st.integers(10, 2_000),
    steps=st.lists(STEPS, max_size=14),
    ends_s=st.lists(st.integers(0, 1_000), max_size=4),
)
def test_visits_are_those_that_plain_python_finds(
    lat: int,
    lon: int,
    radius_m: int,
    steps: list[tuple[int, int, int, int]],
    ends_s: list[int],
) -> None:
    """However many parts the track comes in, wherever they end."""
    circle = Circle(lat_deg=lat / 1e6, lon_deg=lon / 1e6, radius_m=radius_m)
    fixes, time_s = [], 0
    for after_s, east_m, north_m, device in steps:
        time_s += after_s
        place = away_from(circle.lat_deg, circle.lon_deg, east_m, north_m)
        inside = [number for number, (since, end) in enumerate(WINDOWS) if since <= time_s < end]
        if inside:
            fix_lat, fix_lon = (round(one, 7) for one in place)
            fixes.append(
                Fix(time_s=time_s, lat=fix_lat, lon=fix_lon, part=inside[0], device=device)
            )
    expected = found_by_oracle(circle, fixes)

    track, sightings = track_of(fixes), Sightings(circle)
    part = np.searchsorted(sorted(ends_s), [fix.time_s for fix in fixes], side="right")
    for number in range(len(ends_s) + 1):
        sightings.add(track.where(part == number))
    found = [seen(one) for one in sightings.visits()]

    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-2)


async def test_a_whole_search_finds_who_plain_python_finds(fleet: Fleet) -> None:
    """Drivers who roam, every other one with a pause; over HTTP."""
    chance = random.Random(7)  # noqa: S311 - no secret
    drivers = [fleet.first, *await fleet.add(5)]
    paused = (NOW - timedelta(minutes=20), NOW - timedelta(minutes=8))
    fixes: dict[UUID, list[Fix]] = {}
    for number, driver in enumerate(drivers):
        fixes[driver.member_id] = await _roam(fleet, driver, chance)
        if number % 2:
            await fleet.pause(driver, since=paused[0], until=paused[1])
            fixes[driver.member_id] = [
                _in_part(fix, paused) for fix in fixes[driver.member_id] if _shown(fix, paused)
            ]

    found = 0
    for _ in range(ROUNDS):
        lat, lon = away_from(LAT, LON, chance.uniform(-900, 900), chance.uniform(-900, 900))
        circle = Circle(lat_deg=lat, lon_deg=lon, radius_m=chance.choice([25.0, 120.0, 400.0]))
        asked: dict[str, Any] = {"lat": lat, "lon": lon, "radius_m": circle.radius_m, **SPAN}
        _, answer = await fleet.search(**asked)
        shown = {UUID(one["driver_id"]): one["visits"] for one in answer["items"]}
        for driver_id, own in fixes.items():
            if is_sharp(circle, own, LINKS):
                expected = joined(stays(circle, own, LINKS), apart_s_max=LINKS.apart_s_max)
                _compare(shown.get(driver_id, []), [stay for _, stay in expected])
                found += len(expected)
    assert found > ROUNDS


async def _roam(fleet: Fleet, driver: Driver, chance: random.Random) -> list[Fix]:
    """Drive about at random for a while; return where."""
    places = [(0.0, 0.0)]
    for _ in range(150):
        east_m, north_m = places[-1]
        places.append(
            (
                max(-1_000, min(1_000, east_m + chance.gauss(0, 150))),
                max(-1_000, min(1_000, north_m + chance.gauss(0, 150))),
            )
        )
    await fleet.drive(driver, *places, step_s=10)
    fixes = []
    for before, place in enumerate(reversed(places)):
        lat, lon = away_from(LAT, LON, *place)
        time_s = NOW.timestamp() - 10 * before
        fixes.append(Fix(time_s=time_s, lat=round(lat, 7), lon=round(lon, 7)))
    return fixes[::-1]


def _shown(fix: Fix, paused: tuple[datetime, datetime]) -> bool:
    assert fix.time_s >= SHIFT_STARTED.timestamp()
    return not paused[0].timestamp() <= fix.time_s < paused[1].timestamp()


def _in_part(fix: Fix, paused: tuple[datetime, datetime]) -> Fix:
    part = int(fix.time_s >= paused[1].timestamp())
    return Fix(time_s=fix.time_s, lat=fix.lat, lon=fix.lon, part=part)


def _compare(shown: list[dict[str, Any]], expected: list[Stay]) -> None:
    assert len(shown) == len(expected)
    for one, stay in zip(shown, expected, strict=True):
        for name, seconds in (("entered_at", stay.entered_s), ("left_at", stay.left_s)):
            told = datetime.fromisoformat(one[name]).timestamp()
            assert told == pytest.approx(seconds, abs=0.01)
        assert one["closest_m"] == pytest.approx(stay.closest_m, abs=0.06)
        assert one["positions"] == stay.positions
