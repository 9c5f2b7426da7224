import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.routes.model import (
    Contact,
    Plan,
    PlanTooLong,
    RouteHead,
    Stop,
    StopReferenceTwice,
    WindowBackwards,
    fact_span,
    from_bytes,
    in_turn,
    neighbours,
    refuse_backward_windows,
    refuse_repeated_references,
    repeated_references,
    span_of,
    to_bytes,
)

ALMATY = ZoneInfo("Asia/Almaty")
DAY = date(2026, 11, 22)
NINE = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
STOP = Stop(
    stop_id=UUID(int=1),
    name="Қойма №1",
    lat=43.238949,
    lon=76.889709,
    radius_m=50.0,
    service_s=300.0,
    planned_arrival=None,
    window_start=None,
    window_end=None,
)
HEAD = RouteHead(
    route_id=UUID(int=2),
    date=DAY,
    starts_at=NINE,
    ends_at=NINE + timedelta(hours=2),
    driver_id=UUID(int=3),
    vehicle_id=None,
    plan_version=1,
    stop_count=1,
    planned_m=0.0,
)


def test_a_plan_reads_back_as_it_was_written() -> None:
    timed = replace(STOP, planned_arrival=NINE, window_start=NINE, window_end=NINE)
    told = replace(timed, reference="A-1", contact=Contact(name=None, phone="+77011234567"))
    plan = Plan(stops=(STOP, timed, told), line=((76.9, 43.2), (76.8, 43.3)), planned_start=NINE)

    assert from_bytes(to_bytes(plan)) == plan
    assert from_bytes(to_bytes(replace(plan, line=None))).line is None


def test_a_plan_without_times_lasts_the_local_day() -> None:
    starts_at, ends_at = span_of([STOP], day=DAY, planned_start=None, zone=ALMATY)

    assert starts_at == datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
    assert ends_at - starts_at == timedelta(days=1)


def test_a_plan_ends_after_its_last_service() -> None:
    last = replace(STOP, planned_arrival=NINE + timedelta(hours=1))

    starts_at, ends_at = span_of([STOP, last], day=DAY, planned_start=NINE, zone=ALMATY)

    assert starts_at == NINE
    assert ends_at == NINE + timedelta(hours=1, seconds=300)


def test_a_plan_far_from_its_day_is_refused() -> None:
    stop = replace(STOP, planned_arrival=NINE + timedelta(days=4))

    with pytest.raises(PlanTooLong):
        span_of([stop], day=DAY, planned_start=None, zone=ALMATY)


def test_a_window_that_ends_before_it_begins_names_the_stop() -> None:
    backwards = replace(STOP, window_start=NINE, window_end=NINE - timedelta(seconds=1))

    with pytest.raises(WindowBackwards, match="/stops/1/window_end"):
        refuse_backward_windows([STOP, backwards])


def test_a_route_has_an_hour_before_and_four_after() -> None:
    assert fact_span(HEAD, previous=None, following=None) == (
        NINE - timedelta(hours=1),
        NINE + timedelta(hours=6),
    )


def test_routes_of_one_day_share_no_time() -> None:
    earlier = replace(HEAD, starts_at=NINE - timedelta(hours=3), ends_at=NINE)
    later = replace(HEAD, starts_at=NINE + timedelta(hours=2), ends_at=NINE + timedelta(hours=5))

    first = fact_span(earlier, previous=None, following=HEAD)
    second = fact_span(HEAD, previous=earlier, following=later)
    third = fact_span(later, previous=HEAD, following=None)

    assert first[1] <= second[0]
    assert second[1] <= third[0]


def test_a_driver_late_with_one_route_does_not_begin_the_next_with_it() -> None:
    earlier = replace(
        HEAD, starts_at=NINE - timedelta(hours=1), ends_at=NINE - timedelta(minutes=10)
    )

    assert fact_span(HEAD, previous=earlier, following=None)[0] == NINE
    assert fact_span(earlier, previous=None, following=HEAD)[1] == NINE


def test_a_route_that_overlaps_the_one_before_begins_with_its_own_plan() -> None:
    late = replace(HEAD, starts_at=NINE - timedelta(hours=3), ends_at=NINE + timedelta(hours=3))

    assert fact_span(HEAD, previous=late, following=None)[0] == NINE


def test_a_cancelled_route_has_no_time_from_then_on() -> None:
    cancelled = replace(HEAD, cancelled_at=NINE + timedelta(hours=1))
    never = replace(HEAD, cancelled_at=NINE - timedelta(minutes=30))

    assert fact_span(cancelled, previous=None, following=None) == (
        NINE - timedelta(hours=1),
        NINE + timedelta(hours=1),
    )
    begin, end = fact_span(never, previous=None, following=None)
    assert begin == end


def test_a_route_begins_its_hour_early_where_the_one_before_was_cancelled() -> None:
    earlier = replace(
        HEAD,
        starts_at=NINE - timedelta(hours=4),
        ends_at=NINE,
        cancelled_at=NINE - timedelta(hours=3),
    )

    assert fact_span(HEAD, previous=earlier, following=None)[0] == NINE - timedelta(hours=1)


def handed(head: RouteHead, at: datetime) -> RouteHead:
    return replace(head, created_at=NINE - timedelta(days=1), assigned_at=at)


@pytest.mark.parametrize(
    ("at", "begin"),
    [
        (NINE - timedelta(hours=2), NINE - timedelta(hours=1)),
        (NINE - timedelta(minutes=30), NINE - timedelta(minutes=30)),
        (NINE + timedelta(minutes=30), NINE + timedelta(minutes=30)),
    ],
)
def test_a_route_begins_for_its_driver_when_they_are_given_it(
    at: datetime, begin: datetime
) -> None:
    assert fact_span(handed(HEAD, at), previous=None, following=None) == (
        begin,
        NINE + timedelta(hours=6),
    )


def test_what_was_planned_for_a_driver_begins_as_planned_however_late_that_was() -> None:
    late = NINE + timedelta(days=1)
    afterwards = replace(HEAD, created_at=late, assigned_at=late)
    unknown = replace(HEAD, created_at=NINE - timedelta(days=1), assigned_at=None)

    for head in (afterwards, unknown):
        assert head.begins_at == NINE
        assert fact_span(head, previous=None, following=None)[0] == NINE - timedelta(hours=1)


def test_a_route_goes_on_until_the_next_one_is_given_to_its_driver() -> None:
    given = NINE + timedelta(hours=1)
    earlier = handed(
        replace(HEAD, route_id=UUID(int=7), starts_at=NINE - timedelta(hours=1)), given
    )

    assert in_turn([earlier, HEAD]) == [HEAD, earlier]
    assert neighbours(HEAD, [earlier]) == (None, earlier)
    assert neighbours(earlier, [HEAD]) == (HEAD, None)
    assert fact_span(HEAD, previous=None, following=earlier)[1] == given
    assert fact_span(earlier, previous=HEAD, following=None)[0] == given


def test_of_other_routes_the_nearest_are_the_neighbours() -> None:
    day = [
        replace(HEAD, route_id=UUID(int=10 + hour), starts_at=NINE + timedelta(hours=hour))
        for hour in range(-2, 3)
    ]

    assert neighbours(day[2], [*day[3:], *day[:2]]) == (day[1], day[3])
    assert neighbours(day[0], []) == (None, None)


def test_a_plan_without_references_and_contacts_reads_as_it_was_written() -> None:
    plan = Plan(stops=(STOP,), line=None)
    older = json.loads(to_bytes(plan))
    del older["planned_start"], older["stops"][0]["reference"], older["stops"][0]["contact"]

    assert from_bytes(json.dumps(older).encode()) == plan


def test_a_reference_stands_once_and_none_as_often_as_wanted() -> None:
    stops = [replace(STOP, reference=one) for one in ("A", None, "B", "A", None, "A")]

    assert repeated_references(stops) == [3, 5]
    with pytest.raises(StopReferenceTwice, match="/stops/3/reference"):
        refuse_repeated_references(stops)


def test_each_version_is_sealed_for_itself_and_the_first_as_ever() -> None:
    assert HEAD.seal_id == HEAD.route_id.bytes
    assert len({replace(HEAD, plan_version=version).seal_id for version in range(1, 300)}) == 299
