"""Logging in while the pepper is being exchanged."""

from dataclasses import replace
from pathlib import Path

from server.kek.key_file import load
from server.kit.db import ROLE_KEYS, Pool, pool
from server.rekeying import service
from server.vault.opening import open_vault
from tests.accounts.people import EMAIL, PASSWORD, PHONE, accounts, code_of, join, log_in
from tests.conftest import Databases
from tests.rekeying.conftest import Exchange
from tests.world import NOW, World


async def test_who_joined_under_a_new_pepper_logs_in_where_it_is_not_known_yet(
    world: World, exchange: Exchange, keys_pool: Pool, kek_file: Path
) -> None:
    await service.begin(exchange.rekeyer, now=exchange.at)
    elsewhere = replace(world, vault=await open_vault(keys_pool, load(kek_file), NOW))
    async with accounts(elsewhere) as client:
        await join(client, await world.session("dispatcher"), email=EMAIL)
    assert len(world.vault.blind_indexes("email", EMAIL)) == 1

    async with accounts(world) as client:
        answers = [await log_in(client, login) for login in (EMAIL, PHONE)]
        wrong = await log_in(client, EMAIL, password=f"{PASSWORD}!")

    assert [answer.status for answer in answers] == [200, 200]
    assert await code_of(wrong) == (401, "login-failed")


async def test_while_the_key_database_is_away_who_fails_is_answered_as_ever(
    world: World, databases: Databases, kek_file: Path
) -> None:
    async with pool(databases.keys, role=ROLE_KEYS) as keys_pool:
        elsewhere = replace(world, vault=await open_vault(keys_pool, load(kek_file), NOW))
        async with accounts(elsewhere) as client:
            await join(client, await world.session("dispatcher"), email=EMAIL)
            before = await log_in(client, EMAIL, password=f"{PASSWORD}!")
            keys_pool.terminate()

            wrong = await log_in(client, EMAIL, password=f"{PASSWORD}!")
            unknown = await log_in(client, f"no{EMAIL}", password=PASSWORD)

            assert await code_of(before) == (401, "login-failed")
            assert await wrong.read() == await unknown.read() == await before.read()
            assert wrong.status == unknown.status == before.status
