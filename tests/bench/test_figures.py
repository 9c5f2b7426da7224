"""How figures are made of what was seen."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import losses
from bench.memory import fit
from bench.overload import recovered_s
from bench.tally import Tally, percentile
from tests.proofs import Report, Row


def test_the_line_through_samples_tells_what_an_hour_adds() -> None:
    line = fit([0.0, 1800.0, 3600.0], [100.0, 103.0, 106.0])

    assert (round(line.first, 6), round(line.per_hour, 6)) == (100.0, 6.0)
    assert round(line.grown(600), 6) == 1.0


@pytest.mark.parametrize(
    ("p99_ms", "expected"),
    [
        ([20, 30, 20], 0),
        ([900, 30, 20], 1),
        ([900, 30, 101, 20], 3),
        ([900, None, 20], 2),
        ([900, 30, 900], None),
    ],
)
def test_recovered_is_when_no_second_is_slow_any_more(
    p99_ms: list[float | None], expected: float | None
) -> None:
    assert recovered_s([{"p99_ms": one} for one in p99_ms]) == expected


def test_percentiles_are_values_that_came() -> None:
    tally = Tally()
    tally.stored_ms.extend(range(1, 101))

    assert [percentile(tally.stored_ms, share) for share in (50, 99, 100)] == [51, 100, 100]
    assert percentile(tally.refused_ms, 50) is None


def crash(*rows: dict[str, Any], size: str = "full") -> str:
    told = {"started_at": "2026-11-23T01:02:03Z", "size": size, "commit": "a" * 40, "rows": rows}
    return json.dumps(told)


LOST = {"figure": "acknowledged positions lost", "target": "= 0", "note": "50 rounds"}
CONTROL = {"figure": "lost, control: no fsync", "target": "> 0", "value": 7, "note": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ("not known", None)),
        (crash(CONTROL), ("not known", None)),
        (crash({**LOST, "value": 0}, CONTROL), (0, True)),
        (crash({**LOST, "value": 3}, {**LOST, "value": 1}), (4, False)),
        (crash({**LOST, "value": 0}, size="smoke"), (0, None)),
    ],
    ids=["never run", "nothing said", "none lost", "some lost", "too few tries"],
)
def test_losses_are_those_of_the_last_crash_proof(
    tmp_path: Path, text: str | None, expected: tuple[int | str, bool | None]
) -> None:
    file = tmp_path / "crash.json"
    if text is not None:
        file.write_text(text, "utf-8")
    report = Report(name="bench")

    losses.add(report, file)

    [row] = report.rows
    assert isinstance(row, Row)
    assert (row.figure, row.value, row.met) == (losses.FIGURE, *expected)
    assert ("run make crash" in row.note) == (text is None)
