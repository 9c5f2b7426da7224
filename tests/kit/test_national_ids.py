"""Twelve digits with the check digit of an IIN are found in any grouping; others are not."""

from typing import Annotated, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from server.kit.national_ids import check_digit, holds_national_id
from server.kit.wire import ProfileText

SEPARATORS: Final = (
    "",
    " ",
    "-",
    ".",
    "/",
    "  ",
    " - ",
    "\N{NO-BREAK SPACE}",
    "\u2009",
    "\u200b",
    "_",
)
SCRIPTS: Final = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "०१२३४५६७८९")  # noqa: RUF001 - other digits
BY_HAND: Final = "901301300007"
"""9·1 + 1·3 + 3·4 + 1·6 + 3·7 = 51, and 51 mod 11 = 7. Of nobody: no year has a month 13."""

elevens = st.text("0123456789", min_size=11, max_size=11)
valid = elevens.filter(lambda digits: check_digit(digits) is not None).map(
    lambda digits: f"{digits}{check_digit(digits)}"
)
around = st.sampled_from(["", "IIN ", "ИИН: ", "Aidos, ", "№ "])


@given(valid, st.lists(st.sampled_from(SEPARATORS), min_size=11, max_size=11), around, around)
def test_a_valid_number_is_found_in_any_grouping(
    number: str, between: list[str], before: str, after: str
) -> None:
    grouped = number[0] + "".join(
        space + digit for space, digit in zip(between, number[1:], strict=True)
    )

    assert holds_national_id(f"{before}{grouped} {after}")


@given(valid, st.sampled_from(SCRIPTS))
def test_a_valid_number_is_found_in_digits_of_any_script(number: str, script: str) -> None:
    assert holds_national_id("".join(script[int(digit)] for digit in number))


@given(elevens, st.integers(1, 9))
def test_twelve_digits_with_another_check_digit_pass(digits: str, off: int) -> None:
    right = check_digit(digits)
    wrong = off if right is None else (right + off) % 10

    assert not holds_national_id(f"{digits}{wrong}")


@given(st.text("0123456789", max_size=40).filter(lambda digits: len(digits) != 12))
def test_a_number_of_another_length_passes_even_with_a_valid_one_inside(digits: str) -> None:
    assert not holds_national_id(digits)
    assert not holds_national_id(f"x{digits}x")


@given(valid, st.integers(1, 11))
def test_letters_part_a_number(number: str, at: int) -> None:
    assert not holds_national_id(f"{number[:at]} and {number[at:]}")


@pytest.mark.parametrize(
    "text",
    [
        "Aidos Testov",
        "+7 701 123 45 67",
        "MAN TGX 18.440, A 123 BC 02",
        "2026-11-22 12:00",
        "Power of attorney No. 17/2026",
        "",
    ],
)
def test_ordinary_texts_pass(text: str) -> None:
    assert not holds_national_id(text)


def test_the_second_weights_decide_where_the_first_leave_ten_over() -> None:
    assert check_digit(BY_HAND[:-1]) == 7
    # 4·1 + 1·6 = 10; with the second weights 4·3 + 1·8 = 20, and 20 mod 11 = 9.
    assert check_digit("40000100000") == 9


def test_a_profile_text_names_the_rule_and_not_the_number() -> None:
    name = TypeAdapter(Annotated[str, ProfileText(40)])

    with pytest.raises(ValidationError) as refused:
        name.validate_python(f"Aidos {BY_HAND}")

    (fault,) = refused.value.errors(include_input=False)
    assert fault["type"] == "national_id"
    assert BY_HAND not in fault["msg"]
    assert name.validate_python("Aidos") == "Aidos"
