"""What goes by its age alone, while something is held: a dry run tells what a run then does."""

from datetime import timedelta

import pytest

from server.holds.model import UNTIL_MAX, HeldCategory
from server.retention.command import run_now, tell_due
from tests.conftest import Databases
from tests.erasure.person import add_person
from tests.holds.test_erasing import hold
from tests.world import NOW, World

LATE = NOW + UNTIL_MAX - timedelta(days=1)


@pytest.mark.parametrize("categories", [(), *((one,) for one in HeldCategory), tuple(HeldCategory)])
async def test_a_dry_run_tells_what_a_run_takes(
    world: World, databases: Databases, categories: tuple[HeldCategory, ...]
) -> None:
    person = await add_person(world)
    await world.owner.execute(
        "UPDATE company SET track_days = 60, plan_days = 365, report_days = 365"
    )
    await hold(world, person, *categories, until=NOW + UNTIL_MAX)
    told: list[str] = []
    went: list[str] = []

    await tell_due(world.pool, world.vault, [world.company_id], say=told.append, now=LATE)
    await run_now(
        databases.main, world.pool, world.vault, [world.company_id], say=went.append, now=LATE
    )

    def counts(said: list[str], verb: str) -> list[str]:
        found = [one.partition(" (since ")[0].removesuffix(f" {verb}.") for one in said]
        # A plan stays for what is of it: the run takes both, one after the other.
        return [one for one in found if "plans of routes" not in one]

    assert counts(told[:-1], "would go") == counts(went, "went")
    assert not (HeldCategory.WORK in categories and "plans of routes" in str(told + went))
    # The control: of whom nothing is held something of each of these goes.
    kinds = {one.split(": ")[1] for one in went}
    taken = {
        HeldCategory.TRACK: "positions",
        HeldCategory.REPORT: "alerts",
        HeldCategory.WORK: "links of customers",
    }
    for category, kind in taken.items():
        assert (kind in kinds) is (category not in categories), (category, kinds)
