"""Where the data is stored: declared by who runs the databases, and agreed to by the drivers."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from server import databases as databases_of
from server import running
from server.consent import service
from server.consent.model import ConsentAct, ConsentItem
from server.databases import Opened, StorageMoved, refuse_moved
from server.kit import db
from server.kit.countries import COUNTRIES
from server.kit.db import Pool
from server.ledger.model import SYSTEM
from server.settings import Settings, SettingsInvalid, read
from tests.conftest import Databases, copy_databases
from tests.consent.acts import consents, decide, give, withdraw
from tests.consent.people import new_driver
from tests.running import say_nothing, settings
from tests.world import NOW, SHIFT_STARTED, Driver, World, add_company

NAMED: Final = {
    "DATABASE_URL": "postgresql://main.internal/main",
    "KEYS_DATABASE_URL": "postgresql://keys.internal/keys",
}


@pytest.fixture
def opened(databases: Databases, bare: World, keys_pool: Pool) -> Opened:
    return Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=bare.pool,
        keys_pool=keys_pool,
        vault=bare.vault,
    )


@pytest.fixture
async def bare(world: World) -> World:
    """A company whose driver has withdrawn everything."""
    for cell in (await consents(world, world.driver)).items:
        if cell.is_given:
            await withdraw(world, world.driver, cell.item, SHIFT_STARTED)
    return world


async def country(world: World, company_id: UUID | None = None) -> str:
    found: str = await world.owner.fetchval(
        "SELECT storage_country FROM company WHERE company_id = $1", company_id or world.company_id
    )
    return found


async def recorded(world: World, driver: Driver) -> dict[str, Any]:
    given = await give(world, driver, ConsentItem.LOCATION)
    found: dict[str, Any] = json.loads(given.record or "")
    return found


@pytest.mark.proves("relog-service:8.5")
async def test_every_consent_names_the_law_and_the_country_of_the_data(world: World) -> None:
    document = await recorded(world, await new_driver(world))

    [purpose] = document["pii_processing"]["purposes"]
    assert (purpose["jurisdiction"], purpose["storage_locations"]) == (["KZ"], ["KZ"])
    assert document["law_94_v_article_8_4"]["cross_border_transfer"] is False


@pytest.mark.proves("relog-service:8.5")
def test_databases_of_one_s_own_need_a_declared_country() -> None:
    with pytest.raises(SettingsInvalid, match="Set JOLDA_STORAGE_COUNTRY"):
        read(NAMED)
    with pytest.raises(SettingsInvalid, match="Set JOLDA_STORAGE_COUNTRY"):
        read({**NAMED, "JOLDA_STORAGE_COUNTRY": ""})

    assert read({**NAMED, "JOLDA_STORAGE_COUNTRY": "DE"}).storage_country == "DE"
    assert read({}).storage_country == "KZ"
    assert read({"JOLDA_STORAGE_COUNTRY": "UZ"}).storage_country == "UZ"


@pytest.mark.parametrize("text", ["kz", "KAZ", "KK", "UK", "XX", " KZ", "7", "Kazakhstan"])
def test_what_is_no_country_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="JOLDA_STORAGE_COUNTRY"):
        read({**NAMED, "JOLDA_STORAGE_COUNTRY": text})


def test_there_are_as_many_countries_as_the_standard_assigns() -> None:
    assert len(COUNTRIES) == 249
    assert all(len(one) == 2 and one.isascii() and one.isupper() for one in COUNTRIES)
    assert {"KZ", "RU", "UZ", "KG", "CN", "DE"} <= COUNTRIES


async def test_a_company_in_which_nobody_agreed_takes_the_declared_country(
    bare: World, opened: Opened
) -> None:
    driver = await new_driver(bare)
    await decide(bare, driver, ConsentItem.MARKETING, ConsentAct.DECLINE)
    async with db.tenant(bare.pool, bare.company_id) as conn:
        ids = (bare.company_id, driver.member_id)
        await service.request(conn, *ids, ConsentItem.LOCATION, by=SYSTEM, now=NOW)

    await refuse_moved(opened, "DE")

    assert await country(bare) == "DE"
    document = await recorded(bare, driver)
    assert document["pii_processing"]["purposes"][0]["storage_locations"] == ["DE"]
    assert document["law_94_v_article_8_4"]["cross_border_transfer"] is True


@pytest.mark.parametrize("item", list(ConsentItem))
async def test_storage_in_a_country_that_a_driver_did_not_agree_to_is_refused(
    bare: World, opened: Opened, item: ConsentItem
) -> None:
    driver = await new_driver(bare)
    await give(bare, driver, item)

    with pytest.raises(StorageMoved, match=str(bare.company_id)):
        await refuse_moved(opened, "DE")
    assert await country(bare) == "KZ"

    await refuse_moved(opened, "KZ")
    await withdraw(bare, driver, item)
    await refuse_moved(opened, "DE")
    assert await country(bare) == "DE"


async def test_the_company_that_is_refused_is_named_and_keeps_its_country(
    bare: World, opened: Opened
) -> None:
    other = await add_company(bare.vault, bare.owner)
    await give(bare, await new_driver(bare), ConsentItem.LOCATION)

    with pytest.raises(StorageMoved, match=str(bare.company_id)):
        await refuse_moved(opened, "DE")

    assert await country(bare) == "KZ"
    async with db.tenant(bare.pool, other) as conn:
        assert await service.settle_storage(conn, other, "DE") is True


@pytest.fixture
async def abroad(server_dsn: str, tmp_path: Path) -> Settings:
    """Settings of two databases of their own that stand in Germany."""
    copied = await copy_databases(server_dsn, f"abroad_{uuid4().hex}")
    return replace(settings(tmp_path, copied), storage_country="DE")


async def started(found: Settings) -> None:
    async with (
        databases_of.available(found, say=say_nothing) as dsns,
        running.server(found, dsns, say=say_nothing),
    ):
        pass


async def test_a_new_company_says_the_declared_country_and_the_server_starts_with_no_other(
    abroad: Settings,
) -> None:
    async with databases_of.available(abroad, say=say_nothing) as dsns:
        new = running.NewCompany(
            name="Aral Freight",
            time_zone="Asia/Almaty",
            main_user_name="Aigerim",
            main_user_email="aigerim@aral.example",
            erasure_grace=timedelta(0),
        )
        await running.create_company(abroad, dsns, new, now=NOW)
        owner = await asyncpg.connect(dsns.main)
        assert await owner.fetchval("SELECT storage_country FROM company") == "DE"
        await agree(owner)

    await started(abroad)
    with pytest.raises(StorageMoved, match="JOLDA_STORAGE_COUNTRY is KZ"):
        await started(replace(abroad, storage_country="KZ"))

    assert await owner.fetchval("SELECT storage_country FROM company") == "DE"
    await owner.close()


async def agree(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Write down a consent of some driver of the only company."""
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(
        "INSERT INTO consent_record (company_id, driver_id, item, version, record_id, state, actor,"
        " epoch, recorded_at, valid_until, notice_edition, notice_language, notice_sha256, record,"
        " record_sha256, nonce, ledger_index)"
        " SELECT company_id, gen_random_uuid(), 'marketing', 1, gen_random_uuid(), 'given',"
        " 'driver', 1, $1, $2, 1, 'ru', repeat('0', 64), '{}', $3, $3, 1 FROM company",
        NOW,
        NOW + timedelta(days=365),
        bytes(32),
    )
