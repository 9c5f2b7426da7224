import pytest

from server.kit.db import Pool
from server.vault.service import Vault
from tests.ledger.chains import Owner, bare_world
from tests.world import World


@pytest.fixture
async def world(vault: Vault, app_pool: Pool, owner: Owner) -> World:
    """A company whose ledger is empty."""
    return await bare_world(vault, app_pool, owner)
