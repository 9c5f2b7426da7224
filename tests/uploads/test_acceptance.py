"""What is accepted: each rule with its edge. All of them together: acceptance_proof.py."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gate.model import Gate, Reach, Source, Window
from server.tracking.model import SOURCES, Positions, in_windows, to_ms, to_us, window_columns
from server.uploads.acceptance import (
    EVERYTHING,
    Coverage,
    SortedOut,
    Terms,
    coverage_of,
    day_starts,
    sort_out,
    terms_of,
)
from server.uploads.model import AppState, RefusalReason
from tests.world import NOW

NOW_MS = to_ms(NOW)
HOUR_MS = 3_600_000


def at(*seconds_ago: float, sources: tuple[int, ...] = ()) -> Positions:
    time_ms = np.array([NOW_MS - round(ago * 1000) for ago in seconds_ago], dtype=np.int64)
    return Positions(
        time_ms=time_ms,
        values=np.zeros((7, time_ms.size)),
        flags=np.array(sources or [0] * time_ms.size, np.uint8),
    )


def terms(
    *,
    since_h: float = 3,
    windows_h: tuple[tuple[float, float], ...] = ((2, -12),),
    buffer_h: float = 72,
    keeps_track: bool = True,
    coverage: Coverage = EVERYTHING,
) -> Terms:
    """Hours before now."""
    return Terms(
        since_us=to_us(NOW) - us(since_h),
        opened_us=tuple(to_us(NOW) - us(start) for start, _ in windows_h),
        end_us=tuple(to_us(NOW) - us(end) for _, end in windows_h),
        buffer_us_max=us(buffer_h),
        keeps_track=keeps_track,
        coverage=coverage,
    )


def us(hours: float) -> int:
    return round(hours * HOUR_MS) * 1_000


def sorted_out(
    positions: Positions,
    believed: Terms,
    *,
    offset_s: float | None = None,
    app_state: tuple[AppState, ...] | None = None,
) -> SortedOut:
    return sort_out(
        positions,
        believed,
        now_us=to_us(NOW),
        offset_us=None if offset_s is None else round(offset_s * 1_000_000),
        app_state=None if app_state is None else np.array(app_state, np.uint8),
    )


def reasons(found: SortedOut) -> list[tuple[int, RefusalReason]]:
    return [(one.place, one.reason) for one in found.refused]


@pytest.mark.parametrize(
    ("ago_s", "believed", "reason"),
    [
        (-30.001, terms(), RefusalReason.CLOCK_WRONG),
        (-30, terms(), None),
        (3601, terms(buffer_h=1), RefusalReason.TOO_OLD),
        (3600, terms(buffer_h=1), None),
        (3601, terms(since_h=1), RefusalReason.BEFORE_CONSENT),
        (3600, terms(since_h=1), None),
        (7201, terms(), RefusalReason.OUTSIDE_WINDOW),
        (7200, terms(), None),
        (3600, terms(windows_h=((2, 1),)), RefusalReason.OUTSIDE_WINDOW),
        (3600.001, terms(windows_h=((2, 1),)), None),
        (10, terms(windows_h=()), RefusalReason.OUTSIDE_WINDOW),
    ],
)
def test_each_rule_has_its_edge(
    ago_s: float, believed: Terms, reason: RefusalReason | None
) -> None:
    found = sorted_out(at(ago_s), believed)

    assert reasons(found) == ([] if reason is None else [(0, reason)])
    assert (found.kept is None) == (reason is not None)


def test_the_refused_ones_are_named_and_the_others_kept() -> None:
    found = sorted_out(at(7300, 60, -40, 50), terms(), offset_s=0)

    assert reasons(found) == [
        (0, RefusalReason.OUTSIDE_WINDOW),
        (2, RefusalReason.IN_FUTURE),
    ]
    assert found.kept is not None
    assert found.kept.time_ms.tolist() == at(60, 50).time_ms.tolist()


def test_without_sent_at_a_newest_position_in_the_future_gives_the_clock_away() -> None:
    found = sorted_out(at(600, -31, 60), terms())

    assert {why for _, why in reasons(found)} == {RefusalReason.CLOCK_WRONG}
    assert found.kept is None


def test_a_pause_between_two_windows_is_outside() -> None:
    found = sorted_out(at(5400, 3000, 600), terms(windows_h=((2, 1), (0.5, -12))))

    assert reasons(found) == [(1, RefusalReason.OUTSIDE_WINDOW)]


@pytest.mark.parametrize("offset_s", [120.001, -120.001])
def test_a_clock_off_by_more_than_two_minutes_refuses_all(offset_s: float) -> None:
    found = sorted_out(at(20, 10), terms(), offset_s=offset_s)

    assert reasons(found) == [(0, RefusalReason.CLOCK_WRONG), (1, RefusalReason.CLOCK_WRONG)]


@pytest.mark.parametrize(
    ("ago_s", "offset_s", "kept"),
    [
        # Slow clocks: the phone's own time is the earliest it may have been, the corrected the
        # latest.
        (7200, 5, True),
        (7200, 60, True),
        (7200.001, 60, False),
        (3660.001, 60, True),
        (3660, 60, False),
        # What was on the way for 5 s may have been recorded 5 s before it seems.
        (7195, 0, True),
        (7195.001, 0, False),
        (7135, -60, True),
        (7135.001, -60, False),
        (3600.001, -60, True),
        (3600, -60, False),
    ],
)
def test_every_time_it_may_truly_have_been_recorded_at_has_to_lie_in_the_window(
    ago_s: float, offset_s: float, *, kept: bool
) -> None:
    found = sorted_out(at(ago_s), terms(windows_h=((2, 1),)), offset_s=offset_s)

    assert (found.kept is not None) == kept


@pytest.mark.parametrize(
    ("believed", "reason"),
    [
        (terms(since_h=1), RefusalReason.BEFORE_CONSENT),
        (terms(buffer_h=1), RefusalReason.TOO_OLD),
        (terms(windows_h=((2, 1.001), (1, -12))), RefusalReason.OUTSIDE_WINDOW),
    ],
)
def test_the_time_it_may_truly_have_been_recorded_at_has_to_pass_every_rule(
    believed: Terms, reason: RefusalReason
) -> None:
    # By a clock that is a minute fast, 10 s after the edge.
    found = sorted_out(at(3590), believed, offset_s=-60)

    assert reasons(found) == [(0, reason)]


def test_two_windows_with_a_pause_between_do_not_make_one() -> None:
    paused = terms(windows_h=((2, 1), (0.995, -12)))

    assert sorted_out(at(3601), paused).kept is not None
    assert sorted_out(at(3541), paused).kept is not None
    assert reasons(sorted_out(at(3601), paused, offset_s=60)) == [(0, RefusalReason.OUTSIDE_WINDOW)]


def test_stored_times_stay_the_phones() -> None:
    found = sorted_out(at(160), terms(), offset_s=100)

    assert found.kept is not None
    assert found.kept.time_ms.tolist() == at(160).time_ms.tolist()


@pytest.mark.parametrize("source", SOURCES)
def test_only_the_sources_that_the_consent_names_are_kept(source: Source) -> None:
    of_each = at(*range(6), sources=tuple(range(6)))

    found = sorted_out(of_each, terms(coverage=coverage_of(Reach(sources=frozenset({source})))))

    kept = 1 + SOURCES.index(source)
    assert reasons(found) == [
        (place, RefusalReason.SOURCE_NOT_COVERED) for place in range(6) if place != kept
    ]


def test_without_consent_to_the_background_only_what_says_foreground_is_kept() -> None:
    states = (AppState.BACKGROUND, AppState.FOREGROUND, AppState.UNKNOWN)
    in_view = terms(coverage=coverage_of(Reach(background=False)))

    told = sorted_out(at(30, 20, 10), in_view, app_state=states)
    untold = sorted_out(at(10), in_view)
    covered = sorted_out(at(30, 20, 10), terms(), app_state=states)

    assert [place for place, _ in reasons(told)] == [0, 2]
    assert reasons(untold) == [(0, RefusalReason.BACKGROUND_NOT_COVERED)]
    assert reasons(covered) == []


def test_the_time_is_told_before_the_source() -> None:
    nothing = terms(coverage=coverage_of(Reach(sources=frozenset(), background=False)))

    found = sorted_out(at(7300, 10), nothing)

    assert reasons(found) == [
        (0, RefusalReason.OUTSIDE_WINDOW),
        (1, RefusalReason.SOURCE_NOT_COVERED),
    ]


@pytest.mark.parametrize(("ago_s", "kept"), [(900, True), (900.001, False)])
def test_a_latest_position_of_fifteen_minutes_ago_is_not_kept_at_all(
    ago_s: float, *, kept: bool
) -> None:
    found = sorted_out(at(ago_s), terms(keeps_track=False))

    assert (found.kept is not None) == kept
    assert reasons(found) == ([] if kept else [(0, RefusalReason.NOT_KEPT)])
    assert found.newest_index == (0 if kept else None)


def test_without_plan_fact_only_the_newest_is_kept() -> None:
    found = sorted_out(at(7300, 50, 10, 30), terms(keeps_track=False))

    assert found.kept is not None
    assert found.kept.time_ms.tolist() == at(10).time_ms.tolist()
    assert found.newest_index == 2
    assert reasons(found) == [
        (0, RefusalReason.OUTSIDE_WINDOW),
        (1, RefusalReason.NOT_KEPT),
        (3, RefusalReason.NOT_KEPT),
    ]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
def test_days_are_cut_where_they_begin(hours: list[int]) -> None:
    time_ms = np.sort(np.array([NOW_MS + hour * HOUR_MS for hour in hours], dtype=np.int64))
    starts = day_starts(time_ms)
    days = time_ms.astype("datetime64[ms]").astype("datetime64[D]")

    assert [len(set(part.tolist())) for part in np.split(days, starts)] == [1] * (len(starts) + 1)
    assert len(set(days.tolist())) == len(starts) + 1


def gate_of(**changes: object) -> Gate:
    fields: dict[str, object] = {
        "company_id": UUID(int=1),
        "driver_id": UUID(int=2),
        "account_active": True,
        "location_since": NOW - timedelta(hours=3),
        "dispatch_since": NOW - timedelta(hours=2),
        "plan_fact_since": NOW - timedelta(hours=1),
        "epoch": 1,
        "rev": 1,
        "credential_epoch": 0,
        "key_epoch": 0,
        "closing": False,
    }
    return Gate(**{**fields, **changes})  # type: ignore[arg-type]  # one value each


@pytest.mark.parametrize(
    ("changes", "since_h"),
    [
        ({}, 1),
        ({"plan_fact_since": None}, 2),
        ({"dispatch_since": None}, 1),
        ({"location_since": NOW - timedelta(minutes=30)}, 0.5),
        ({"location_since": None}, None),
        ({"dispatch_since": None, "plan_fact_since": None}, None),
        ({"account_active": False}, None),
        ({"closing": True}, None),
    ],
)
def test_terms_begin_with_the_last_consent_that_the_purpose_needs(
    changes: dict[str, object], since_h: float | None
) -> None:
    found = terms_of(gate_of(**changes), (), buffer_max_s=60, now=NOW)

    assert (None if found is None else found.since_us) == (
        None if since_h is None else to_us(NOW) - us(since_h)
    )


def test_nothing_of_the_millisecond_in_which_a_window_or_consent_began_slips_in_early() -> None:
    began = NOW + timedelta(microseconds=400)
    opened_ms, end_ms = window_columns((Window(opened_at=began, end=NOW + timedelta(hours=1)),))

    inside = in_windows(np.array([NOW_MS, NOW_MS + 1]), opened_ms, end_ms)

    assert inside.tolist() == [False, True]
    found = terms_of(gate_of(plan_fact_since=began), (), buffer_max_s=60, now=began)
    assert found is not None
    assert found.since_us == to_us(began)


def test_every_reason_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "refusals.md").read_text()
    explained = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)

    assert sorted(explained) == sorted(reason.value for reason in RefusalReason)
