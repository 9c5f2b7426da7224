from dataclasses import replace
from datetime import datetime, timedelta
from math import cos, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gate.model import Gate
from server.kit.ids import uuid7
from server.links.model import (
    FAR_GRID_M,
    METRES_PER_DEGREE,
    NEAR_GRID_M,
    NEAR_M,
    Consented,
    CustomerLink,
    LinkState,
    Phase,
    Progress,
    Terms,
    distance_m,
    has_arrived,
    spot_of,
    tracked,
)
from server.routes.model import Stop
from server.tracking.model import LatestPosition
from tests.world import NOW

MINUTE = timedelta(minutes=1)
STOP = Stop(
    stop_id=uuid7(),
    name="Altyn Orda",
    lat=43.3,
    lon=76.9,
    radius_m=50.0,
    service_s=0.0,
    planned_arrival=NOW + 60 * MINUTE,
    window_start=None,
    window_end=None,
)
GATE = Gate(
    company_id=uuid7(),
    driver_id=uuid7(),
    account_active=True,
    location_since=NOW - 120 * MINUTE,
    dispatch_since=None,
    plan_fact_since=NOW - 120 * MINUTE,
    epoch=3,
    rev=4,
    credential_epoch=0,
    key_epoch=0,
    closing=False,
)
TERMS = Terms(
    begins_at=NOW - 60 * MINUTE,
    under_way=True,
    given_at=NOW - 60 * MINUTE,
    taken_back=False,
)
AGREED = Consented(gate=GATE, terms=TERMS, in_window=True, on_shift=True)
PLAN = Progress(
    stops={STOP.stop_id: STOP},
    arrived=frozenset(),
    deviation_s=None,
    gate=None,
)
LINK = CustomerLink(
    link_id=uuid7(),
    route_id=uuid7(),
    stop_id=STOP.stop_id,
    driver_id=GATE.driver_id,
    created_at=NOW,
    expires_at=NOW + 60 * MINUTE,
    delivered_at=None,
    revoked_at=None,
)
# As they come over the wire: floats would find places that no phone ever sends.
latitudes = st.integers(-85_0000000, 85_0000000).map(lambda e7: e7 / 1e7)
longitudes = st.integers(-179_9000000, 179_9000000).map(lambda e7: e7 / 1e7)


def position(lat: float, lon: float, at: datetime = NOW, **more: float | None) -> LatestPosition:
    return LatestPosition(
        driver_id=GATE.driver_id,
        recorded_at=at,
        lat=lat,
        lon=lon,
        accuracy_m=None,
        speed_mps=more.get("speed_mps"),
        heading_deg=None,
        epoch=GATE.epoch,
    )


@given(lat=latitudes, lon=longitudes)
def test_far_away_a_position_is_on_a_grid_of_100_m_and_not_further_than_that(
    lat: float, lon: float
) -> None:
    here = position(lat, lon)
    away = replace(STOP, lat=lat - 0.2 if lat > 0 else lat + 0.2, lon=lon)

    spot = spot_of(here, away)

    assert spot.grid_m == FAR_GRID_M
    assert distance_m(position(spot.lat, spot.lon), replace(STOP, lat=lat, lon=lon)) <= 71.5
    again = spot_of(position(spot.lat, spot.lon), away)
    assert (again.lat, again.lon) == (spot.lat, spot.lon)


@given(lat=latitudes, lon=longitudes)
def test_near_the_stop_the_grid_is_10_m(lat: float, lon: float) -> None:
    spot = spot_of(position(lat, lon), replace(STOP, lat=lat, lon=lon))

    assert spot.grid_m == NEAR_GRID_M
    assert distance_m(position(spot.lat, spot.lon), replace(STOP, lat=lat, lon=lon)) <= 7.3


@given(lat=latitudes, lon=longitudes, north=st.floats(-40, 40), east=st.floats(-40, 40))
def test_two_links_of_one_driver_say_the_same(
    lat: float, lon: float, north: float, east: float
) -> None:
    """Or several customers together would know more than each of them."""
    one = replace(STOP, lat=max(-89.0, min(89.0, lat + 1)), lon=lon)
    other = replace(STOP, lat=max(-89.0, min(89.0, lat - 1)), lon=lon)
    moved = position(
        lat + north / METRES_PER_DEGREE,
        lon + east / METRES_PER_DEGREE / cos(radians(lat)),
    )

    assert spot_of(moved, one) == spot_of(moved, other)


def test_two_kilometres_are_where_it_gets_exact() -> None:
    for metres, grid_m in ((NEAR_M - 1, NEAR_GRID_M), (NEAR_M + 1, FAR_GRID_M)):
        there = position(STOP.lat - metres / METRES_PER_DEGREE, STOP.lon)
        assert spot_of(there, STOP).grid_m == grid_m


def test_a_link_shows_its_position_when_everything_holds() -> None:
    seen = tracked(STOP, PLAN, AGREED, position(43.2, 76.8), now=NOW)

    assert seen.phase is Phase.ON_THE_WAY
    assert seen.spot is not None


@pytest.mark.parametrize(
    "consented",
    [
        replace(AGREED, terms=replace(TERMS, given_at=None)),
        replace(AGREED, terms=replace(TERMS, taken_back=True)),
        replace(AGREED, terms=replace(TERMS, under_way=False)),
        replace(AGREED, in_window=False),
        replace(AGREED, on_shift=False),
        replace(AGREED, terms=replace(TERMS, given_at=NOW + MINUTE)),
        replace(AGREED, gate=replace(GATE, location_since=None)),
        replace(AGREED, gate=replace(GATE, location_since=NOW + MINUTE)),
        replace(AGREED, gate=replace(GATE, account_active=False)),
    ],
)
def test_one_missing_condition_hides_it_and_looks_like_any_other(consented: Consented) -> None:
    late = replace(PLAN, deviation_s=0.0, gate=GATE)

    seen = tracked(STOP, late, consented, position(43.2, 76.8), now=NOW)

    assert (seen.phase, seen.spot, seen.eta) == (Phase.NOT_SHARED, None, None)


@pytest.mark.parametrize("here", [None, position(43.2, 76.8, NOW - 16 * MINUTE)])
def test_without_a_fresh_position_there_is_none(here: LatestPosition | None) -> None:
    seen = tracked(STOP, PLAN, AGREED, here, now=NOW)

    assert (seen.phase, seen.spot) == (Phase.NOT_SHARED, None)


@pytest.mark.parametrize(
    ("begins_in", "recorded_in", "phase"),
    [
        (timedelta(microseconds=1), timedelta(0), Phase.PLANNED),
        (timedelta(0), timedelta(0), Phase.ON_THE_WAY),
        (timedelta(0), -timedelta(microseconds=1), Phase.NOT_SHARED),
    ],
)
def test_nothing_is_shown_before_the_route_starts_and_nothing_from_before_it(
    begins_in: timedelta, recorded_in: timedelta, phase: Phase
) -> None:
    starting = replace(AGREED, terms=replace(TERMS, begins_at=NOW + begins_in))

    seen = tracked(STOP, PLAN, starting, position(43.2, 76.8, NOW + recorded_in), now=NOW)

    assert (seen.phase, seen.spot is not None) == (phase, phase is Phase.ON_THE_WAY)


@pytest.mark.parametrize(
    ("deviation_s", "made_under", "minutes"),
    [
        (None, GATE, None),
        (0.0, GATE, 60),
        (601.0, GATE, 70),
        (-7200.0, GATE, 0),
        (0.0, None, None),
        (0.0, replace(GATE, epoch=GATE.epoch + 1), None),
        (0.0, replace(GATE, rev=GATE.rev + 1), None),
    ],
)
def test_the_time_of_arrival_comes_from_plan_and_report_under_the_same_gate(
    deviation_s: float | None, made_under: Gate | None, minutes: int | None
) -> None:
    progress = replace(PLAN, deviation_s=deviation_s, gate=made_under)

    seen = tracked(STOP, progress, AGREED, position(43.2, 76.8), now=NOW)

    assert seen.eta == (None if minutes is None else NOW + minutes * MINUTE)


@pytest.mark.parametrize(("left", "known"), [(MINUTE, True), (0 * MINUTE, False)])
def test_a_report_is_not_used_once_its_consent_has_run_out(
    left: timedelta,
    *,
    known: bool,
) -> None:
    gate = replace(GATE, plan_fact_until=NOW + left)
    progress = replace(PLAN, deviation_s=0.0, gate=gate)

    seen = tracked(STOP, progress, replace(AGREED, gate=gate), position(43.2, 76.8), now=NOW)

    assert (seen.eta is not None) == known


@pytest.mark.parametrize(
    ("lat", "speed_mps", "arrived"),
    [
        (43.3, 0.0, True),
        (43.3, None, True),
        (43.3, 14.0, False),
        (43.3004, 1.0, True),
        (43.3006, 1.0, False),
    ],
)
def test_to_arrive_is_to_stand_inside_the_circle(
    lat: float, speed_mps: float | None, *, arrived: bool
) -> None:
    assert has_arrived(position(lat, 76.9, speed_mps=speed_mps), STOP) is arrived


@pytest.mark.parametrize(
    ("link", "state", "ended"),
    [
        (LINK, LinkState.ACTIVE, False),
        (replace(LINK, expires_at=NOW), LinkState.EXPIRED, True),
        (replace(LINK, revoked_at=NOW), LinkState.REVOKED, True),
        (replace(LINK, driver_id=None), LinkState.REVOKED, True),
        (replace(LINK, delivered_at=NOW), LinkState.ACTIVE, True),
        (replace(LINK, delivered_at=NOW, revoked_at=NOW, driver_id=None), LinkState.REVOKED, True),
    ],
)
def test_what_the_company_is_told_of_a_link_is_not_whether_the_driver_arrived(
    link: CustomerLink,
    state: LinkState,
    ended: bool,  # noqa: FBT001 - a table
) -> None:
    assert (link.state(NOW), link.has_ended(NOW)) == (state, ended)
