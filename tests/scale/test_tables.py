"""Every table keeps the rules of scale: one PostgreSQL now, Citus some day."""

import re
from typing import TYPE_CHECKING, Final

import pytest

from server.kit.db import ROLE_APP, Pool, session_settings
from tests.scale.tables import Fault, TableRule, faults
from tests.scale.texts import TOP

if TYPE_CHECKING:
    import asyncpg

_COMMITTER: Final = "the committer stores uploads of many companies in one statement, by design"
_EXCHANGE: Final = "who exchanges keys wraps those of all companies in one transaction, by design"
FAULTS_EXEMPT: Final = {
    "main": {
        Fault(TableRule.COMPANY, "alembic_version"): "which migrations ran: of the whole database",
        Fault(TableRule.LEADS, "alembic_version_pkc"): "as above",
        Fault(TableRule.LEADS, "login_directory_pkey"): "the one table across companies, by hash",
        Fault(TableRule.POLICY, "login_directory.looked_up"): "asked before a company is known",
        Fault(TableRule.POLICY, "company.every_company"): "the job runner sees the ids alone",
        Fault(TableRule.POLICY, "chunk.committer_stores"): _COMMITTER,
        Fault(TableRule.POLICY, "chunk.committer_compares"): _COMMITTER,
        Fault(TableRule.POLICY, "gate.committer_reads"): _COMMITTER,
        Fault(TableRule.POLICY, "gate.committer_locks"): _COMMITTER,
        Fault(TableRule.POLICY, "gate_closing.committer_reads"): _COMMITTER,
        Fault(TableRule.POLICY, "latest_position.committer_stores"): _COMMITTER,
        Fault(TableRule.POLICY, "latest_position.committer_replaces"): _COMMITTER,
        Fault(TableRule.POLICY, "latest_position.committer_compares"): _COMMITTER,
        Fault(TableRule.TRIGGER, "gate.count_for_screens"): (
            "counts, row by row, what changes on screens: no act can forget it"
        ),
    },
    "keys": {
        Fault(TableRule.COMPANY, "alembic_version"): "which migrations ran: of the whole database",
        Fault(TableRule.LEADS, "alembic_version_pkc"): "as above",
        Fault(TableRule.COMPANY, "pepper"): "of the installation, as every log-in's hash is",
        Fault(TableRule.LEADS, "pepper_pkey"): "as above",
        Fault(TableRule.COMPANY, "signing_key"): "of the installation, which signs for all",
        Fault(TableRule.LEADS, "signing_key_pkey"): "as above",
        Fault(TableRule.COMPANY, "installation"): "names the key database, of all companies",
        Fault(TableRule.LEADS, "installation_pkey"): "as above",
        Fault(TableRule.LEADS, "installation_is_one"): "as above",
        Fault(TableRule.COMPANY, "rekeying"): "an exchange of keys is one of all companies",
        Fault(TableRule.LEADS, "rekeying_pkey"): "as above",
        Fault(TableRule.LEADS, "rekeying_under_way"): "as above",
        Fault(TableRule.POINTS, "subject.subject_rekeying_id_fkey"): "as above",
        Fault(TableRule.POLICY, "company_key.rekeyed"): _EXCHANGE,
        Fault(TableRule.POLICY, "data_key.rekeyed"): _EXCHANGE,
        Fault(TableRule.POLICY, "subject.rekeyed"): _EXCHANGE,
        Fault(TableRule.POLICY, "journal_place.compared"): (
            "before it serves, the server looks which companies there ever were"
        ),
        Fault(TableRule.IDS, "company_key.kek_id"): "names a file's content, and no row",
        Fault(TableRule.IDS, "pepper.kek_id"): "as above",
        Fault(TableRule.IDS, "rekeying.kek_id"): "as above",
        Fault(TableRule.IDS, "signing_key.kek_id"): "as above",
    },
}


@pytest.mark.parametrize("database", ["main", "keys"])
async def test_every_table_keeps_the_rules_of_scale(
    database: str,
    owner: "asyncpg.Connection[asyncpg.Record]",
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    conn = {"main": owner, "keys": keys_owner}[database]

    found = await faults(conn)

    # Both ways: an exemption that is not needed any more goes.
    assert found == FAULTS_EXEMPT[database].keys()


BAD_TABLES: Final = {
    "CREATE TABLE bad (driver_id uuid PRIMARY KEY)": {
        Fault(TableRule.COMPANY, "bad"),
        Fault(TableRule.LEADS, "bad_pkey"),
    },
    "CREATE TABLE bad (company_id uuid NOT NULL)": {Fault(TableRule.KEY, "bad")},
    "CREATE TABLE bad (company_id text, n int, PRIMARY KEY (company_id, n))": {
        Fault(TableRule.COMPANY, "bad"),
        Fault(TableRule.IDS, "bad.company_id"),
    },
    "CREATE UNIQUE INDEX bad ON gate (driver_id)": {Fault(TableRule.LEADS, "bad")},
    "CREATE INDEX bad ON gate (lower(driver_id::text), company_id)": {
        Fault(TableRule.LEADS, "bad")
    },
    "ALTER TABLE shift ADD FOREIGN KEY (company_id, driver_id) REFERENCES gate": {
        Fault(TableRule.POINTS, "shift.shift_company_id_driver_id_fkey")
    },
    "CREATE UNIQUE INDEX bad ON gate (driver_id, company_id);"
    "ALTER TABLE shift ADD CONSTRAINT worse FOREIGN KEY (driver_id, company_id)"
    " REFERENCES gate (driver_id, company_id)": {
        Fault(TableRule.LEADS, "bad"),
        Fault(TableRule.POINTS, "shift.worse"),
    },
    "ALTER TABLE chunk ADD CONSTRAINT bad FOREIGN KEY (company_id, driver_id) REFERENCES gate": {
        Fault(TableRule.CHUNK, "chunk.bad")
    },
    "ALTER TABLE gate ADD COLUMN n serial": {
        Fault(TableRule.COUNTER, "gate.n"),
        Fault(TableRule.COUNTER, "gate_n_seq"),
    },
    "ALTER TABLE gate ADD COLUMN n int GENERATED ALWAYS AS IDENTITY": {
        Fault(TableRule.COUNTER, "gate.n"),
        Fault(TableRule.COUNTER, "gate_n_seq"),
    },
    "ALTER TABLE gate ADD COLUMN x uuid DEFAULT gen_random_uuid()": {
        Fault(TableRule.COUNTER, "gate.x")
    },
    "ALTER TABLE gate ADD COLUMN at timestamptz DEFAULT current_timestamp": {
        Fault(TableRule.COUNTER, "gate.at")
    },
    "ALTER TABLE gate ADD COLUMN other_id bigint": {Fault(TableRule.IDS, "gate.other_id")},
    "CREATE TRIGGER bad BEFORE UPDATE ON shift FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()": {
        Fault(TableRule.TRIGGER, "shift.bad")
    },
    "CREATE TABLE bad (company_id uuid, n int, PRIMARY KEY (company_id, n))"
    " PARTITION BY HASH (n)": {Fault(TableRule.PARTITION, "bad")},
    "CREATE POLICY bad ON gate TO jolda_app USING (company_id = current_company() OR true)": {
        Fault(TableRule.POLICY, "gate.bad")
    },
    "CREATE POLICY bad ON chunk FOR INSERT TO jolda_app WITH CHECK (true)": {
        Fault(TableRule.POLICY, "chunk.bad")
    },
}


@pytest.mark.parametrize("ddl", BAD_TABLES)
async def test_control_a_table_that_breaks_a_rule_is_named(
    ddl: str, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(ddl)
        found = await faults(owner)
    finally:
        await transaction.rollback()

    assert found - FAULTS_EXEMPT["main"].keys() == BAD_TABLES[ddl]


def test_control_each_rule_for_tables_has_one_that_breaks_it() -> None:
    assert {fault.rule for faults in BAD_TABLES.values() for fault in faults} == set(TableRule)


IN_A_TABLE: Final = re.compile(r"CREATE TABLE (\w+) \((?:(?!\n\);).)*?\bREFERENCES\b", re.DOTALL)


def test_foreign_keys_are_made_by_statements_of_their_own() -> None:
    scripts = sorted((TOP / "migrations").rglob("*.sql"))
    found = [match[1] for one in scripts for match in IN_A_TABLE.finditer(_code(one.read_text()))]

    assert found == []
    assert IN_A_TABLE.findall("CREATE TABLE a (\n b uuid REFERENCES c\n);") == ["a"]


def _code(sql: str) -> str:
    return re.sub("--.*", "", sql)


def test_sessions_suit_citus() -> None:
    assert session_settings(ROLE_APP)["citus.override_table_visibility"] == "off"


async def test_without_a_company_row_level_security_admits_none(app_pool: Pool) -> None:
    async with app_pool.acquire() as conn:
        assert await conn.fetchval("SELECT current_company()") is None
        async with conn.transaction():
            await conn.execute("SET LOCAL app.company_id = ''")
            assert await conn.fetchval("SELECT current_company()") is None
