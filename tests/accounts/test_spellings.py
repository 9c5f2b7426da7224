"""Every spelling is one login or 422: some thousands here, a million with the command."""

from typing import Final

import pytest

from tests.accounts import spellings
from tests.accounts.spellings import SIZES, Spelling, judged, tally

ANOTHER: Final = "+77011234568"


@pytest.mark.parametrize("seed", [spellings.SEED, 1, 2])
def test_every_spelling_is_the_one_login_or_refused(seed: int) -> None:
    found = tally(SIZES["smoke"], seed)

    assert found.examples == []
    # It tries both: what has to be read, and what has to be refused.
    for kind in ("phone, strange", "e-mail, strange", "anything"):
        assert found.refused[kind] > 0, kind
    for kind in ("phone, plain", "phone, strange", "e-mail, plain", "e-mail, strange"):
        assert found.read[kind] > SIZES["smoke"] // 50, kind


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (Spelling(kind="", text="8 701 123 45 67", meant=ANOTHER), "read as another login"),
        (Spelling(kind="", text="8 701 123 45", meant=ANOTHER, plain=True), "refused"),
        (Spelling(kind="", text="8 701 123 45 67", meant="+77011234567", plain=True), None),
        (Spelling(kind="", text="8 701 123 45", meant=ANOTHER), None),
    ],
)
def test_control_a_spelling_that_is_read_wrongly_is_found(
    one: Spelling, reason: str | None
) -> None:
    assert judged(one)[1] == reason


def test_digits_of_other_scripts_are_no_digits_of_a_phone() -> None:
    for zero in spellings.ZEROS:
        text = "".join(chr(ord(zero) + int(digit)) for digit in "87011234567")
        expected = ("phone", "+77011234567") if zero in spellings.ZEROS_READ else None

        assert spellings.read(text) == expected
