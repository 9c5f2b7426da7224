"""National identity numbers (Kazakhstan's IIN) in free text: found, so that they are not kept."""

import unicodedata
from typing import Final

LENGTH: Final = 12
_WEIGHTS: Final = (
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2),  # where the first leave 10 over
)


def holds_national_id(text: str) -> bool:
    """Tell whether twelve digits with the check digit of an IIN stand in the text.

    However they are grouped: whatever is neither a letter nor a digit may stand between them. A
    group is never cut, so twelve digits inside a longer number are none. A company's BIN has the
    same form, and is found as well.
    """
    return any(_is_valid(digits) for groups in _lines_of_groups(text) for digits in _joined(groups))


def check_digit(digits: str) -> int | None:
    """Return the twelfth digit of the first eleven, None where no number begins so."""
    for weights in _WEIGHTS:
        left = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11
        if left < 10:  # noqa: PLR2004 - a digit
            return left
    return None


def _is_valid(digits: str) -> bool:
    return check_digit(digits[:-1]) == int(digits[-1])


def _lines_of_groups(text: str) -> list[list[str]]:
    """Return the groups of digits, in lists that letters part. Digits of any script count."""
    lines: list[list[str]] = [[""]]
    for char in unicodedata.normalize("NFKC", text):
        digit = unicodedata.decimal(char, None)
        if digit is not None:
            lines[-1][-1] += str(digit)
        elif char.isalpha():
            lines.append([""])
        elif lines[-1][-1]:
            lines[-1].append("")
    return lines


def _joined(groups: list[str]) -> list[str]:
    """Return what neighbouring whole groups make together, where that has the right length."""
    found = []
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) >= LENGTH:
                break
        if len(digits) == LENGTH:
            found.append(digits)
    return found
