"""The codes against the test vectors of the RFCs, and what a factor takes."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from server.second_factor import model
from server.second_factor.model import FREE_FAILURES, STEP_S, WAIT_S_MAX, Factor
from tests.world import NOW

SECRET: Final = b"12345678901234567890"
"""Of RFC 4226, appendix D, and of RFC 6238, appendix B."""


def factor(*, failures: int = 0, last_step: int | None = None) -> Factor:
    return Factor(
        secret_sealed=b"",
        begun_at=NOW,
        confirmed_at=NOW,
        last_step=last_step,
        failures=failures,
        failed_at=NOW,
    )


@pytest.mark.parametrize(
    ("counter", "code"),
    tuple(
        enumerate(("755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583"))
    ),
)
def test_the_codes_are_those_of_rfc_4226(counter: int, code: str) -> None:
    assert model.code_at(SECRET, counter) == code


@pytest.mark.parametrize(
    ("unix_s", "code"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_the_codes_are_the_last_digits_of_those_of_rfc_6238(unix_s: int, code: str) -> None:
    now = datetime.fromtimestamp(unix_s, UTC)

    assert model.code_at(SECRET, model.step_at(now)) == code[-model.DIGITS :]
    assert model.step_of(SECRET, code[-model.DIGITS :], now) == unix_s // STEP_S


@pytest.mark.parametrize(("steps", "taken"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
def test_a_clock_may_be_a_step_behind_or_ahead(steps: int, taken: int) -> None:
    present = model.step_at(NOW)

    found = model.step_of(SECRET, model.code_at(SECRET, present + steps), NOW)

    assert found == (present + steps if taken else None)


def test_no_step_is_taken_twice_nor_after_a_newer_one() -> None:
    assert factor().takes(7)
    assert [factor(last_step=7).takes(step) for step in (6, 7, 8)] == [False, False, True]


def test_after_wrong_codes_one_waits_longer_but_never_more_than_an_hour() -> None:
    waits = [factor(failures=failures).wait_s(NOW) for failures in range(30)]

    assert waits[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert waits[FREE_FAILURES : FREE_FAILURES + 3] == [1.0, 2.0, 4.0]
    assert waits == sorted(waits)
    assert waits[-1] == WAIT_S_MAX
    assert factor(failures=1000).wait_s(NOW + timedelta(seconds=WAIT_S_MAX)) == 0.0


@pytest.mark.parametrize(
    ("typed", "is_app_code"),
    [
        ("123 456", True),
        ("123456", True),
        ("12345", False),
        ("١٢٣٤٥٦", False),
        ("\uff11\uff12\uff13\uff14\uff15\uff16", False),
        ("abcdef", False),
    ],
)
def test_only_six_ascii_digits_are_a_code_of_the_app(typed: str, *, is_app_code: bool) -> None:
    assert model.is_app_code(model.plain(typed)) is is_app_code


def test_recovery_codes_are_different_and_read_however_they_are_typed() -> None:
    codes = model.new_recovery_codes()
    first = codes[0]

    assert len({model.recovery_hash(code) for code in codes}) == model.RECOVERY_CODES
    assert len(model.plain(first)) * 5 >= 112
    typed = (first, first.lower(), first.replace("-", ""), first.replace("-", " "))
    assert len({model.recovery_hash(one) for one in typed}) == 1


def test_no_seed_makes_the_same_secret_or_recovery_codes_again() -> None:
    made = []
    for _ in range(2):
        random.seed(1)
        made += [model.new_secret().hex(), *model.new_recovery_codes()]

    assert len(set(made)) == 2 * (1 + model.RECOVERY_CODES)
    assert len(bytes.fromhex(made[0])) * 8 >= 160


def test_what_the_app_reads_names_the_company_and_nobody() -> None:
    uri = model.otpauth(SECRET, "Aral Freight & Sons")

    assert uri == (
        "otpauth://totp/Jolda:Aral%20Freight%20%26%20Sons?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=Jolda&algorithm=SHA1&digits=6&period=30"
    )
    assert model.read(model.written(SECRET)) == SECRET
