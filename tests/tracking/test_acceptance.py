"""What is accepted: each rule, and all of them against a slow oracle."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gate.model import Gate, Window
from server.tracking.acceptance import SortedOut, Terms, month_starts, sort_out, terms_of
from server.tracking.model import (
    Positions,
    Refusal,
    RefusalReason,
    in_windows,
    to_ms,
    window_columns,
)
from tests.world import NOW

NOW_MS = to_ms(NOW)
HOUR_MS = 3_600_000


def at(*seconds_ago: float) -> Positions:
    time_ms = np.array([NOW_MS - round(ago * 1000) for ago in seconds_ago], dtype=np.int64)
    return Positions(
        time_ms=time_ms,
        values=np.zeros((7, time_ms.size)),
        flags=np.zeros(time_ms.size, np.uint8),
    )


def terms(
    *,
    since_h: float = 3,
    windows_h: tuple[tuple[float, float], ...] = ((2, -12),),
    buffer_h: float = 72,
    keeps_track: bool = True,
) -> Terms:
    """Hours before now."""
    return Terms(
        since_ms=NOW_MS - round(since_h * HOUR_MS),
        opened_ms=tuple(NOW_MS - round(start * HOUR_MS) for start, _ in windows_h),
        end_ms=tuple(NOW_MS - round(end * HOUR_MS) for _, end in windows_h),
        buffer_max_ms=round(buffer_h * HOUR_MS),
        keeps_track=keeps_track,
    )


def sorted_out(
    positions: Positions, believed: Terms, *, offset_s: float | None = None
) -> SortedOut:
    offset_ms = None if offset_s is None else round(offset_s * 1000)
    return sort_out(positions, believed, now_ms=NOW_MS, offset_ms=offset_ms)


def reasons(found: SortedOut) -> list[tuple[int, RefusalReason]]:
    return [(one.place, one.reason) for one in found.refused]


@pytest.mark.parametrize(
    ("ago_s", "believed", "reason"),
    [
        (-31, terms(), RefusalReason.IN_FUTURE),
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
    found = sorted_out(at(7300, 60, -40, 50), terms())

    assert reasons(found) == [
        (0, RefusalReason.OUTSIDE_WINDOW),
        (2, RefusalReason.IN_FUTURE),
    ]
    assert found.kept is not None
    assert found.kept.time_ms.tolist() == at(60, 50).time_ms.tolist()


def test_a_pause_between_two_windows_is_outside() -> None:
    found = sorted_out(at(5400, 3000, 600), terms(windows_h=((2, 1), (0.5, -12))))

    assert reasons(found) == [(1, RefusalReason.OUTSIDE_WINDOW)]


@pytest.mark.parametrize("offset_s", [120.001, -120.001])
def test_a_clock_off_by_more_than_two_minutes_refuses_all(offset_s: float) -> None:
    found = sorted_out(at(20, 10), terms(), offset_s=offset_s)

    assert reasons(found) == [(0, RefusalReason.CLOCK_WRONG), (1, RefusalReason.CLOCK_WRONG)]


@pytest.mark.parametrize(("offset_s", "kept"), [(0, True), (60, True), (-60, False)])
def test_the_corrected_time_has_to_lie_in_a_window_too(offset_s: float, *, kept: bool) -> None:
    # Raw: 10 s inside the window's beginning.
    found = sorted_out(at(7190), terms(), offset_s=offset_s)

    assert (found.kept is not None) == kept


def test_stored_times_stay_the_phones() -> None:
    found = sorted_out(at(160), terms(), offset_s=100)

    assert found.kept is not None
    assert found.kept.time_ms.tolist() == at(160).time_ms.tolist()


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


minutes = st.integers(-3, 200)


@given(
    st.lists(minutes, min_size=1, max_size=12),
    st.lists(minutes, max_size=6, unique=True).map(sorted),
    minutes,
    st.integers(1, 200),
    st.none() | st.integers(-3, 3),
)
def test_sorting_out_agrees_with_a_slow_oracle(
    ago: list[int], edges: list[int], since: int, buffer: int, offset: int | None
) -> None:
    edges = edges[: len(edges) // 2 * 2]
    windows = tuple(
        (start / 60, end / 60) for end, start in zip(edges[::2], edges[1::2], strict=True)
    )[::-1]
    believed = terms(since_h=since / 60, windows_h=windows, buffer_h=buffer / 60)

    found = sorted_out(
        at(*(one * 60 for one in ago)), believed, offset_s=None if offset is None else offset * 60
    )

    def oracle(one: int) -> RefusalReason | None:
        shift = offset or 0
        if abs(shift) > 2:
            return RefusalReason.CLOCK_WRONG
        if min(one, one - shift) < -0.5:
            return RefusalReason.IN_FUTURE
        if one > buffer:
            return RefusalReason.TOO_OLD
        if one > since:
            return RefusalReason.BEFORE_CONSENT
        raw, shifted = (
            any(start * 60 >= minute > end * 60 for start, end in windows)
            for minute in (one, one - shift)
        )
        return None if raw and shifted else RefusalReason.OUTSIDE_WINDOW

    expected = [Refusal(place, why) for place, one in enumerate(ago) if (why := oracle(one))]
    assert list(found.refused) == expected
    assert (0 if found.kept is None else len(found.kept)) == len(ago) - len(expected)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
def test_months_are_cut_where_they_begin(days: list[int]) -> None:
    time_ms = np.sort(np.array([NOW_MS + day * 24 * HOUR_MS for day in days], dtype=np.int64))
    starts = month_starts(time_ms)
    months = time_ms.astype("datetime64[ms]").astype("datetime64[M]")

    assert [len(set(part.tolist())) for part in np.split(months, starts)] == [1] * (len(starts) + 1)
    assert len(set(months.tolist())) == len(starts) + 1


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
    found = terms_of(gate_of(**changes), (), buffer_max_s=60)

    assert (None if found is None else found.since_ms) == (
        None if since_h is None else NOW_MS - round(since_h * HOUR_MS)
    )


def test_nothing_of_the_millisecond_in_which_a_window_or_consent_began_slips_in_early() -> None:
    began = NOW + timedelta(microseconds=400)
    opened_ms, end_ms = window_columns((Window(opened_at=began, end=NOW + timedelta(hours=1)),))

    inside = in_windows(np.array([NOW_MS, NOW_MS + 1]), opened_ms, end_ms)

    assert inside.tolist() == [False, True]
    found = terms_of(gate_of(plan_fact_since=began), (), buffer_max_s=60)
    assert found is not None
    assert found.since_ms == NOW_MS + 1


def test_every_reason_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "refusals.md").read_text()
    explained = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)

    assert sorted(explained) == sorted(reason.value for reason in RefusalReason)
