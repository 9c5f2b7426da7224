from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.kit.working_days import after, before

ALMATY = ZoneInfo("Asia/Almaty")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY)


@pytest.mark.parametrize(
    ("asked", "days", "until"),
    [
        # 2026-11-23 is a Monday.
        ("2026-11-23T14:03", 3, "2026-11-26T14:03"),
        ("2026-11-25T14:03", 3, "2026-11-30T14:03"),
        ("2026-11-27T23:59", 1, "2026-11-30T23:59"),
        # What begins on a weekend has three whole days.
        ("2026-11-21T09:00", 3, "2026-11-26T00:00"),
        ("2026-11-22T23:59", 3, "2026-11-26T00:00"),
        ("2026-11-23T00:00", 15, "2026-12-14T00:00"),
    ],
)
def test_so_many_working_days_later(asked: str, days: int, until: str) -> None:
    assert after(at(asked), days, ALMATY) == at(until)


@pytest.mark.parametrize(
    ("until", "days", "since"),
    [
        ("2026-11-26T14:03", 1, "2026-11-25T14:03"),
        ("2026-11-30T14:03", 1, "2026-11-27T14:03"),
        ("2026-11-30T00:00", 2, "2026-11-26T00:00"),
    ],
)
def test_so_many_working_days_earlier(until: str, days: int, since: str) -> None:
    assert before(at(until), days, ALMATY) == at(since)


def test_the_days_are_those_of_the_zone() -> None:
    # Friday evening in London is Saturday in Almaty.
    friday = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)

    assert after(friday, 1, ZoneInfo("Europe/London")) == friday + timedelta(days=3)
    assert after(friday, 1, ALMATY) == at("2026-12-01T00:00")
    assert after(friday, 1, ALMATY).tzinfo is UTC


def test_the_time_of_the_day_stays_where_clocks_are_changed() -> None:
    london = ZoneInfo("Europe/London")
    before_the_change = datetime(2026, 10, 23, 12, 0, tzinfo=london)

    assert after(before_the_change, 1, london) == datetime(2026, 10, 26, 12, 0, tzinfo=london)
