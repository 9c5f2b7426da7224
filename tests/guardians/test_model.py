"""Who may be a minor, by a year alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.guardians.model import (
    UNSTATED,
    Age,
    BirthYearImplausible,
    refuse_implausible,
)

STATEMENT = UUID(int=7)
ALMATY = "Asia/Almaty"
LAST_SECOND = datetime(2026, 12, 31, 18, 59, 59, tzinfo=UTC)
"""Of the year in Almaty, five hours ahead of UTC."""


def born(year: int | None) -> Age:
    return Age(statement_id=STATEMENT, birth_year=year)


@given(
    st.dates(datetime(1940, 1, 1, tzinfo=UTC).date(), datetime(2026, 1, 1, tzinfo=UTC).date()),
    st.datetimes(datetime(2026, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
)
def test_nobody_under_eighteen_is_ever_taken_for_an_adult(
    birthday: "datetime", now: datetime
) -> None:
    had_birthday = (now.month, now.day) >= (birthday.month, birthday.day)
    years = now.year - birthday.year - (0 if had_birthday else 1)

    assert years >= 18 or born(birthday.year).may_be_minor(now, "UTC")


def test_the_year_in_which_somebody_comes_of_age_counts_as_a_minors_to_its_end() -> None:
    assert born(2008).may_be_minor(LAST_SECOND, ALMATY)
    assert not born(2008).may_be_minor(LAST_SECOND + timedelta(seconds=1), ALMATY)
    assert born(2008).may_be_minor(LAST_SECOND + timedelta(seconds=1), "UTC")
    assert not born(2007).may_be_minor(LAST_SECOND, ALMATY)


def test_without_a_stated_year_nobody_is_taken_for_a_minor() -> None:
    assert not UNSTATED.may_be_minor(LAST_SECOND, ALMATY)


def test_a_year_that_cannot_be_read_is_taken_for_a_minors() -> None:
    assert born(None).may_be_minor(LAST_SECOND, ALMATY)


def test_nobody_is_born_in_a_year_to_come() -> None:
    refuse_implausible(2026, LAST_SECOND)

    with pytest.raises(BirthYearImplausible):
        refuse_implausible(2027, LAST_SECOND)
