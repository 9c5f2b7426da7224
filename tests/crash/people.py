"""Whose phones upload: companies and drivers who have shared for hours, made in the databases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.crash.hours import Hours
from tests.http import bearer
from tests.stage import Stage
from tests.world import Driver, add_company, add_driver, open_session

COMPANIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A driver, and the log-in by which they act and read."""

    made: Driver
    headers: dict[str, str]
    hours: Hours


async def make_people(at: Stage, count: int, hours: Hours) -> Sequence[Person]:
    """Make so many drivers, in a few companies, on a shift that began hours ago."""
    agreed = hours.agreed
    companies = [await add_company(at.vault, at.owner, at=agreed) for _ in range(COMPANIES)]
    people = []
    for number in range(count):
        company_id = companies[number % COMPANIES]
        made = await add_driver(at.vault, at.pool, company_id, at=agreed)
        token = await open_session(at.pool, company_id, made.member_id, at=agreed)
        people.append(Person(made=made, headers=bearer(token), hours=hours))
    return people
