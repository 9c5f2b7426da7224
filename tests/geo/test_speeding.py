import numpy as np
import pytest

from geo.clean import Cleaned
from geo.drive import Driven, prepare
from geo.speeding import speeding
from geo.types import Floats
from geo.values import DEFAULT


def driven(speed_mps: Floats, *, step_s: float = 5.0, sigma_m: float = 0.0) -> Driven:
    """Drive east with these speeds, one per step."""
    x = np.append(0.0, np.cumsum(speed_mps * step_s))
    xy = np.column_stack([x, np.zeros(len(x))])
    xy += sigma_m * np.random.default_rng(3).normal(size=xy.shape)
    return prepare(
        Cleaned(
            time_s=np.arange(len(x), dtype=np.float64) * step_s,
            xy=xy,
            sigma_m=np.full(len(x), max(sigma_m, 3.0)),
            interval=np.zeros(len(x), dtype=np.intp),
            fixes=len(x),
            dropped={},
        ),
        DEFAULT,
    )


def speeds(*parts: tuple[float, int]) -> Floats:
    return np.concatenate([np.full(count, speed) for speed, count in parts])


@pytest.mark.parametrize("step_s", [1.0, 5.0, 30.0])
def test_a_minute_too_fast_is_one_speeding(step_s: float) -> None:
    minute = round(60.0 / step_s)
    drive = driven(speeds((10.0, 4 * minute), (30.0, minute), (10.0, 4 * minute)), step_s=step_s)

    runs, max_mps = speeding(drive, limit_mps=20.0, gap_s=120.0)

    assert len(runs) == 1
    begin_s, end_s = drive.time_s[runs[0]]
    assert begin_s == pytest.approx(240.0, abs=max(step_s, 16.0))
    assert end_s == pytest.approx(300.0, abs=max(step_s, 16.0))
    assert max_mps[0] == pytest.approx(30.0, rel=0.1)


def test_as_fast_as_allowed_is_none_whatever_the_noise() -> None:
    for sigma_m in (0.0, 5.0, 20.0):
        runs, _ = speeding(driven(np.full(700, 19.0), sigma_m=sigma_m), limit_mps=20.0, gap_s=120.0)

        assert len(runs) == 0


def test_across_a_silence_nothing_is_concluded() -> None:
    drive = driven(speeds((10.0, 20), (30.0, 1), (10.0, 20)), step_s=130.0)

    runs, _ = speeding(drive, limit_mps=20.0, gap_s=120.0)

    assert len(runs) == 0


@pytest.mark.parametrize("fixes", [0, 1, 2])
def test_next_to_no_fixes_no_speeding(fixes: int) -> None:
    drive = driven(np.full(max(fixes - 1, 0), 30.0))
    if not fixes:
        drive = prepare(
            Cleaned(
                time_s=np.zeros(0),
                xy=np.zeros((0, 2)),
                sigma_m=np.zeros(0),
                interval=np.zeros(0, dtype=np.intp),
                fixes=0,
                dropped={},
            ),
            DEFAULT,
        )

    runs, max_mps = speeding(drive, limit_mps=20.0, gap_s=120.0)

    assert runs.shape == (0, 2)
    assert max_mps.shape == (0,)
