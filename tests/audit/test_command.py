"""``jolda ledger verify`` says one line for each company and fails where one is broken."""

import pytest

from server.audit.command import BROKEN, SOUND, verify_all
from server.kit.db import Pool
from server.ledger.service import keep_checkpoint
from server.vault.service import Vault
from tests.ledger.chains import Owner, bare_company, bare_world, build
from tests.world import NOW, World


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: Owner) -> World:
    """A company whose ledger is empty."""
    return await bare_world(vault, app_pool, owner)


@pytest.mark.proves("qoldau:9")
async def test_each_company_gets_a_line_and_one_that_is_broken_fails_it(world: World) -> None:
    chain = await build(world)
    await keep_checkpoint(world.pool, world.vault, chain.company_id, NOW)
    other = await bare_company(world.vault, world.owner)
    said: list[str] = []
    companies = [chain.company_id, other]

    sound = await verify_all(
        world.pool, world.keys_pool, world.vault, companies, say=said.append, now=NOW
    )
    await world.owner.execute("UPDATE ledger_entry SET facts = '{}' WHERE index = 12")
    broken = await verify_all(
        world.pool, world.keys_pool, world.vault, companies, say=said.append, now=NOW
    )

    assert (sound, broken) == (SOUND, BROKEN)
    assert said == [
        f"{chain.company_id}: sound, 40 entries, signed up to 34.",
        f"{other}: sound, 0 entries, nothing signed.",
        (
            f"{chain.company_id}: BROKEN at entry 12: the entry is not what was hashed "
            "(changed; 40 entries, signed up to 9)."
        ),
        f"{other}: sound, 0 entries, nothing signed.",
    ]
