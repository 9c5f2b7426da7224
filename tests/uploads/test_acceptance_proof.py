"""The proof of the acceptance rules, run small."""

import pytest

from server.uploads import acceptance
from tests.uploads.acceptance_proof import SIZES, compare, hostile_lives, prove


@pytest.mark.parametrize("seed", [3, 4])
def test_nothing_is_wrongly_kept_and_the_controls_are_found(seed: int) -> None:
    report = prove(SIZES["smoke"], seed)

    assert report.unmet == []


def test_a_rule_left_out_is_told_by_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "FUTURE_US_MAX", 29_999_000)
    cases = hostile_lives(3, told=True)

    assert compare(cases, 6_000).disagreeing > 0
