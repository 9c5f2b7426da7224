"""Sums add up however they are grouped; a stored report is covered by the rule of tracks."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.reports.model import (
    CONTRIBUTORS_MIN,
    Contribution,
    SealedReport,
    Settings,
    Sums,
    grouped,
    planned_s,
)
from server.routes.model import LEAD, TAIL, Plan
from server.stop_events.model import LATE_MAX
from tests.reports.days import DAY, HOUR, MINUTE, STARTED, STOPS
from tests.world import NOW

COUNTS = st.integers(0, 500)
METRES = st.integers(0, 2_000_000).map(lambda tenths: tenths / 8)  # exact in binary
SUMS = st.builds(
    Sums,
    stops_due=COUNTS,
    stops_visited=COUNTS,
    stops_windowed=COUNTS,
    stops_on_time=COUNTS,
    planned_m=METRES,
    actual_m=METRES,
    gap_m=METRES,
    planned_s=st.none() | METRES,
    actual_s=METRES,
)
CONTRIBUTIONS = st.lists(
    st.builds(
        Contribution,
        driver_id=st.integers(1, 15).map(lambda number: UUID(int=number)),
        group=st.none() | st.sampled_from("abc"),
        sums=SUMS,
    ),
    max_size=40,
)


@given(CONTRIBUTIONS)
def test_the_groups_add_up_to_the_whole(contributions: list[Contribution]) -> None:
    groups = grouped(contributions)

    whole = Sums.together(one.sums for one in contributions)
    assert Sums.together(group.sums for group in groups) == whole
    assert sum(group.routes for group in groups) == len(contributions)
    keys = [group.key for group in groups]
    assert len(set(keys)) == len(keys)
    assert None not in keys[:-1]


@given(CONTRIBUTIONS)
def test_a_group_leaves_the_company_only_with_ten_different_drivers(
    contributions: list[Contribution],
) -> None:
    for group in grouped(contributions):
        drivers = {one.driver_id for one in contributions if one.group == group.key}
        assert group.contributors == len(drivers)
        assert group.tells_of_few == (len(drivers) < CONTRIBUTORS_MIN)


def test_a_figure_in_which_few_drivers_have_a_part_is_told_of_as_such() -> None:
    """Of ten drivers one alone had windows, planned times and a gap."""
    plain = Sums(
        stops_due=4,
        stops_visited=3,
        stops_windowed=0,
        stops_on_time=0,
        planned_m=1.0,
        actual_m=1.0,
        gap_m=0.0,
        planned_s=None,
        actual_s=60.0,
    )
    other = replace(plain, stops_windowed=3, gap_m=5.0, planned_s=50.0)
    parts = [
        Contribution(driver_id=UUID(int=number), group="a", sums=plain if number else other)
        for number in range(CONTRIBUTORS_MIN)
    ]

    [group] = grouped(parts)

    assert group.few == {
        "stops_windowed",
        "stops_on_time",
        "on_time_rate",
        "gap_m",
        "planned_s",
        "timed_actual_s",
    }
    assert (group.sums.planned_s, group.timed_actual_s, group.sums.actual_s) == (50.0, 60.0, 600.0)


def test_a_figure_in_which_nobody_has_a_part_is_told_as_the_zero_that_it_is() -> None:
    nothing = replace(Sums.together(()), stops_due=4, actual_s=60.0)
    parts = [
        Contribution(driver_id=UUID(int=number), group="a", sums=nothing)
        for number in range(CONTRIBUTORS_MIN)
    ]

    [group] = grouped(parts)

    assert group.few == set()
    assert (group.sums.stops_windowed, group.sums.gap_m) == (0, 0)


@pytest.mark.parametrize(("untimed", "told"), [(0, True), (1, False), (CONTRIBUTORS_MIN, True)])
def test_what_timed_routes_took_is_not_told_if_the_rest_is_of_few(
    untimed: int, *, told: bool
) -> None:
    sums = Sums.together(())
    parts = [
        Contribution(
            driver_id=UUID(int=number),
            group="a",
            sums=replace(sums, planned_s=50.0 if number >= untimed else None, actual_s=60.0),
        )
        for number in range(untimed + CONTRIBUTORS_MIN)
    ]

    [group] = grouped(parts)

    assert ("timed_actual_s" not in group.few) is told
    assert "planned_s" not in group.few
    assert "actual_s" not in group.few


@given(SUMS)
def test_sums_read_back_as_they_were_sealed(sums: Sums) -> None:
    assert Sums.from_bytes(sums.to_bytes()) == sums


def test_of_nothing_no_rate_is_known() -> None:
    nothing = Sums.together(())

    assert (nothing.on_time_rate, nothing.completion, nothing.planned_s) == (None, None, None)


def test_planned_hours_are_from_the_first_arrival_to_the_end_of_the_last_stop() -> None:
    assert planned_s(Plan(stops=STOPS, line=None)) == 1_200
    assert planned_s(Plan(stops=STOPS[:1], line=None)) is None


def stored(*, apart: timedelta | None = None) -> SealedReport:
    return SealedReport(
        route_id=UUID(int=1),
        driver_id=UUID(int=2),
        plan_version=1,
        algorithm_version="1.0",
        computed_at=NOW,
        ends_at=NOW - 5 * HOUR,
        since=STARTED,
        sealed=b"",
        sums_sealed=b"",
        apart=None if apart is None else STARTED + apart,
    )


@pytest.mark.parametrize(
    ("given_at", "apart", "covered"),
    [
        (None, None, False),
        (timedelta(0), None, True),
        (-HOUR, None, True),
        (timedelta(seconds=1), None, False),
        (-HOUR, -HOUR, True),
        (-HOUR, timedelta(0), True),
        (-HOUR, timedelta(seconds=1), False),
    ],
)
def test_a_report_is_covered_only_by_consents_older_than_all_of_it(
    given_at: timedelta | None, apart: timedelta | None, *, covered: bool
) -> None:
    given = None if given_at is None else STARTED + given_at

    assert stored(apart=apart).is_covered(given) is covered


@pytest.mark.parametrize(
    ("buffer", "later", "settled"),
    [
        (4 * DAY, 4 * DAY, True),
        (4 * DAY, 4 * DAY - MINUTE, False),
        (HOUR, LATE_MAX, True),
        (HOUR, LATE_MAX - MINUTE, False),
    ],
)
def test_a_report_is_settled_once_no_phone_can_bring_positions_or_words(
    buffer: timedelta, later: timedelta, *, settled: bool
) -> None:
    chosen = Settings(
        report_days=None,
        speed_limit_kmh=None,
        buffer_max_s=int(buffer.total_seconds()),
        track_days=None,
    )
    report = stored()

    computed = replace(report, computed_at=report.ends_at + TAIL + later)

    assert chosen.is_settled(computed, starts_at=STARTED) is settled


@pytest.mark.parametrize(
    ("days", "at", "settled"),
    [
        (2, STARTED - LEAD + 2 * DAY - HOUR, True),
        (2, STARTED - LEAD + 2 * DAY - HOUR - MINUTE, False),
        (60, NOW - 5 * HOUR + TAIL + LATE_MAX, True),
        (60, NOW - 5 * HOUR + TAIL + LATE_MAX - MINUTE, False),
    ],
)
def test_a_report_is_settled_an_hour_before_its_track_is_not_whole_any_more(
    days: int, at: datetime, *, settled: bool
) -> None:
    chosen = Settings(report_days=None, speed_limit_kmh=None, buffer_max_s=0, track_days=days)

    assert chosen.is_settled(replace(stored(), computed_at=at), starts_at=STARTED) is settled


def test_the_speed_limit_is_part_of_the_rules_that_a_report_names() -> None:
    chosen = Settings(report_days=None, speed_limit_kmh=90, buffer_max_s=0, track_days=None)

    assert chosen.parameters.speed_limit_mps == 25.0
