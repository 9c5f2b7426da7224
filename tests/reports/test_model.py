"""Sums add up however they are grouped; a stored report is covered by the rule of tracks."""

from datetime import timedelta
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
from server.routes.model import TAIL, Plan
from tests.reports.days import DAY, HOUR, STARTED, STOPS
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


@pytest.mark.parametrize(("buffer", "settled"), [(HOUR, True), (HOUR + DAY, False)])
def test_a_report_is_settled_once_no_phone_can_bring_anything(
    buffer: timedelta, *, settled: bool
) -> None:
    chosen = Settings(
        report_days=None, speed_limit_kmh=None, buffer_max_s=int(buffer.total_seconds())
    )

    assert stored().ends_at + TAIL + HOUR == NOW
    assert chosen.is_settled(stored()) is settled


def test_the_speed_limit_is_part_of_the_rules_that_a_report_names() -> None:
    chosen = Settings(report_days=None, speed_limit_kmh=90, buffer_max_s=0)

    assert chosen.parameters.speed_limit_mps == 25.0
