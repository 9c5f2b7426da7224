"""`jolda company close | keep-open`: what is said before, and that nothing is done without yes."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from server import closings
from server.accounts.model import CompanyMissing
from server.closure.model import DAYS_MIN, Closing, ClosingAsked, ClosingMissing
from server.databases import Databases as Dsns
from server.kit.ids import uuid7
from server.settings import Settings
from tests.conftest import Databases
from tests.running import settings
from tests.told import last_entry
from tests.world import NOW, World


class Operator:
    """Types the commands, and hears what they say."""

    def __init__(self, found: Settings, dsns: Dsns) -> None:
        self.on = found, dsns
        self.said: list[str] = []

    async def close(self, company_id: UUID, *, yes: bool) -> Closing | None:
        return await closings.close(
            *self.on, company_id, days=DAYS_MIN, yes=yes, say=self.said.append, clock=lambda: NOW
        )

    async def keep_open(self, company_id: UUID) -> None:
        await closings.keep_open(*self.on, company_id, say=self.said.append, clock=lambda: NOW)


@pytest.fixture
def operator(tmp_path: Path, databases: Databases, kek_file: Path) -> Operator:
    found = replace(settings(tmp_path, databases), kek_file=kek_file)
    return Operator(found, Dsns(main=databases.main, keys=databases.keys))


async def closings_there(world: World) -> int:
    found: int = await world.owner.fetchval("SELECT count(*) FROM company_closing")
    return found


async def test_it_is_told_what_would_end_and_done_only_with_yes(
    world: World, operator: Operator
) -> None:
    await world.session("dispatcher")

    assert await operator.close(world.company_id, yes=False) is None
    assert await closings_there(world) == 0
    drivers, others, nothing_done = operator.said
    assert drivers == (
        "Aral Freight: 1 driver would be erased (0 under way already; something is held of 0, and "
        "stays until that ends)."
    )
    assert others == "1 account of the staff, 0 API tokens, 0 links and 1 shift would end."
    assert nothing_done == "Nothing was changed. To ask for it, add --yes."

    asked = await operator.close(world.company_id, yes=True)
    assert asked is not None
    assert asked.closes_at == NOW + timedelta(days=DAYS_MIN)
    assert await closings_there(world) == 1
    closes_at = {"closes_at": "2026-12-22T12:00:00Z"}
    assert await last_entry(world) == ("company_closing", "operator", closes_at)
    with pytest.raises(ClosingAsked):
        await operator.close(world.company_id, yes=True)

    await operator.keep_open(world.company_id)
    assert await closings_there(world) == 0
    assert await last_entry(world) == ("company_kept_open", "operator", closes_at)


async def test_there_has_to_be_such_a_company_and_such_a_closing(
    world: World, operator: Operator
) -> None:
    with pytest.raises(ClosingMissing):
        await operator.keep_open(world.company_id)
    for missing in (operator.keep_open(uuid7()), operator.close(uuid7(), yes=True)):
        with pytest.raises(CompanyMissing):
            await missing
