import numpy as np
import pytest

from geo.schedule import overdue_s, schedule_deviation_s, timing

OPEN = np.nan


@pytest.mark.parametrize(
    ("arrived_s", "window", "status", "early_s", "late_s"),
    [
        (50.0, (100.0, 200.0), "early", 50.0, 0.0),
        (100.0, (100.0, 200.0), "on_time", 0.0, 0.0),
        (200.0, (100.0, 200.0), "on_time", 0.0, 0.0),
        (230.0, (100.0, 200.0), "late", 0.0, 30.0),
        (230.0, (OPEN, 200.0), "late", 0.0, 30.0),
        (50.0, (OPEN, 200.0), "on_time", 0.0, 0.0),
        (999.0, (100.0, OPEN), "on_time", 0.0, 0.0),
        (50.0, (OPEN, OPEN), "none", None, None),
    ],
)
def test_window(
    arrived_s: float,
    window: tuple[float, float],
    status: str,
    early_s: float | None,
    late_s: float | None,
) -> None:
    found = timing(
        arrived_s,
        arrived_s + 10.0,
        window_from_s=window[0],
        window_to_s=window[1],
        planned_service_s=60.0,
    )

    assert (found.window_status, found.early_s, found.late_s) == (status, early_s, late_s)


def test_waiting_for_the_window_is_not_service() -> None:
    found = timing(50.0, 180.0, window_from_s=100.0, window_to_s=200.0, planned_service_s=60.0)

    assert (found.wait_s, found.service_s, found.service_delta_s) == (50.0, 80.0, 20.0)


def test_who_leaves_before_the_window_opens_served_early() -> None:
    found = timing(50.0, 90.0, window_from_s=100.0, window_to_s=200.0, planned_service_s=60.0)

    assert (found.wait_s, found.service_s, found.service_delta_s) == (0.0, 40.0, -20.0)


def test_what_is_not_known_stays_unknown() -> None:
    unseen = timing(None, 90.0, window_from_s=100.0, window_to_s=200.0, planned_service_s=60.0)
    still_there = timing(150.0, None, window_from_s=100.0, window_to_s=200.0, planned_service_s=0.0)

    assert (unseen.window_status, unseen.late_s, unseen.service_s) == ("none", None, None)
    assert (still_there.window_status, still_there.service_s) == ("on_time", None)


@pytest.mark.parametrize(
    ("now_s", "along_m", "deviation_s"),
    [
        (1_050.0, 1_000.0, 0.0),  # at the first stop within its planned service
        (1_130.0, 1_000.0, 30.0),
        (990.0, 1_000.0, -10.0),
        (1_200.0, 2_000.0, 0.0),  # half way to the second
        (1_260.0, 2_000.0, 60.0),
        (1_150.0, 2_000.0, -50.0),
    ],
)
def test_schedule_deviation(now_s: float, along_m: float, deviation_s: float) -> None:
    found = schedule_deviation_s(
        now_s,
        along_m,
        stops_m=np.array([1_000.0, 3_000.0]),
        arrival_s=np.array([1_000.0, 1_300.0]),
        service_s=np.array([100.0, 100.0]),
    )

    assert found == pytest.approx(deviation_s)


def test_without_planned_arrivals_there_is_no_deviation() -> None:
    nothing = np.array([np.nan])

    assert (
        schedule_deviation_s(0.0, 0.0, stops_m=np.zeros(1), arrival_s=nothing, service_s=nothing)
        is None
    )


@pytest.mark.parametrize(
    ("now_s", "deviation_s"), [(1_990.0, 0.0), (2_090.0, 0.0), (2_150.0, 50.0), (900.0, -100.0)]
)
def test_waiting_for_a_window_is_no_delay(now_s: float, deviation_s: float) -> None:
    found = schedule_deviation_s(
        now_s,
        1_000.0,
        stops_m=np.array([1_000.0, 3_000.0]),
        arrival_s=np.array([1_000.0, 2_300.0]),
        service_s=np.array([100.0, 100.0]),
        window_from_s=np.array([2_000.0, OPEN]),
    )

    assert found == pytest.approx(deviation_s)


def test_a_stop_not_reached_in_time_is_overdue() -> None:
    arrival_s, service_s = np.array([1_000.0, 1_300.0, OPEN]), np.array([100.0, OPEN, OPEN])
    closed, opens = np.full(3, OPEN), np.array([1_500.0, OPEN, OPEN])

    def late(stop: int, window_from_s: np.typing.NDArray[np.float64]) -> float | None:
        return overdue_s(
            1_900.0,
            stop,
            arrival_s=arrival_s,
            service_s=service_s,
            window_from_s=window_from_s,
        )

    assert late(1, closed) == 600.0
    assert late(1, opens) == 300.0  # the first was not served before 1,600
    assert late(2, closed) is None
