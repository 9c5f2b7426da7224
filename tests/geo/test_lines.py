import numpy as np
import pytest

from geo.lines import driven_lines
from geo.plane import Plane
from geo.values import Track

START_S = 1_800_000_000.0
PLANE = Plane.around(np.array([[76.9, 43.2]]))


def straight(seconds: list[float]) -> Track:
    """Eastwards at 10 m/s, one fix at each of the seconds."""
    time_s = np.array(seconds, dtype=np.float64)
    xy = np.column_stack([time_s * 10.0, np.zeros(len(time_s))])
    return Track(
        time_s=START_S + time_s,
        lon_lat=PLANE.to_lon_lat(xy),
        accuracy_m=np.full(len(time_s), 5.0),
    )


def lines_of(track: Track, *shared: tuple[float, float], until_s: float = 1e9) -> list[int]:
    intervals = np.array(shared or ((0.0, 1e6),)) + START_S
    found = driven_lines(track, PLANE, shared_s=intervals, until_s=START_S + until_s)
    return [round(line.to_s - line.from_s) for line in found]


def test_one_drive_is_one_line_with_its_ends() -> None:
    track = straight([float(second) for second in range(0, 600, 10)])

    found = driven_lines(track, PLANE, shared_s=np.array([[START_S, START_S + 1e6]]), until_s=1e12)

    assert len(found) == 1
    assert len(found[0].lon_lat) == 2
    assert np.allclose(found[0].lon_lat[[0, -1]], track.lon_lat[[0, -1]], atol=1e-9)


def test_a_silence_cuts_the_line() -> None:
    times = [*range(0, 100, 10), *range(300, 400, 10)]

    assert lines_of(straight([float(at) for at in times])) == [90, 90]


@pytest.mark.proves("relog-manager-app:3.2-plan-fact-report")
def test_time_that_was_not_shared_cuts_the_line_however_short() -> None:
    times = [float(at) for at in range(0, 200, 10)]

    assert lines_of(straight(times), (0.0, 95.0), (105.0, 500.0)) == [90, 80]


def test_nothing_is_drawn_without_two_fixes() -> None:
    assert lines_of(straight([])) == []
    assert lines_of(straight([5.0])) == []
    assert lines_of(straight([0.0, 10.0, 20.0]), until_s=5.0) == []


def test_no_fix_lies_farther_from_the_line_than_the_tolerance() -> None:
    time_s = np.arange(0.0, 600.0, 5.0)
    xy = np.column_stack([time_s * 10.0, 300.0 * np.sin(time_s / 40.0)])
    track = Track(
        time_s=START_S + time_s, lon_lat=PLANE.to_lon_lat(xy), accuracy_m=np.full(len(xy), 5.0)
    )

    (line,) = driven_lines(
        track, PLANE, shared_s=np.array([[START_S, START_S + 1e6]]), until_s=1e12
    )

    drawn = PLANE.to_xy(line.lon_lat)
    begins, ends = drawn[:-1], drawn[1:]
    along = ends - begins
    share = np.clip(((xy[:, None] - begins) * along).sum(axis=2) / (along**2).sum(axis=1), 0.0, 1.0)
    away = np.hypot(*(begins + share[..., None] * along - xy[:, None]).transpose(2, 0, 1))
    assert len(line.lon_lat) < len(xy)
    assert away.min(axis=1).max() <= 4.0 + 1e-6
