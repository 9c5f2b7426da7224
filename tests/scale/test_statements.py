"""Every statement keeps the rules of scale: one PostgreSQL now, Citus some day.

Not to be read off a text, and kept elsewhere: a transaction touches one company (``db.tenant`` is
the only way to begin one), an acknowledgement follows its COMMIT (the proofs of crashes), and what
the silence of a RETURNING means (the tests of each statement).
"""

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from server.deposits.store import STORE_OR_SKIP, STORE_OR_WAIT
from server.erasure import search_store as searching
from server.erasure import store as erasure
from server.export_files.store import STATEMENTS
from server.rights import store as rights
from server.tracking.compaction_store import CUT_OUT, EXCHANGE
from tests.scale.rules import Breach, Rule, breaches
from tests.scale.tables import with_companies
from tests.scale.texts import TOP, Text, collect

if TYPE_CHECKING:
    import asyncpg

# Statements that a function is given by its caller, and how they can read.
PASSED: Final = {
    "server/tracking/compaction_store.py:exchange": [EXCHANGE, CUT_OUT],
    "server/deposits/store.py:store": [STORE_OR_SKIP, STORE_OR_WAIT],
    "server/export_files/store.py:rows": [*STATEMENTS.values()],
    # Made by PostgreSQL from the catalogue: what it makes is looked at below.
    "server/erasure/store.py:count_rows": [],
    "server/rights/store.py:count": [],
    "server/erasure/search_store.py:look": [],
    "server/erasure_preview/store.py:count": [],
}
SKIPPED: Final = {
    "server/backups/store.py:make_role": "makes a role, before there is a table",
    "server/backups/store.py:grant_role": "grants a role, before there is a table",
    "server/backups/store.py:rename_database": "of the embedded server, to restore in its place",
    "server/backups/store.py:make_database": "of the embedded server, to restore in its place",
    "server/backups/store.py:set_comment": "says of the database itself what is restored into it",
    "server/databases.py:_embedded": "makes the databases themselves, before there is a table",
    "server/kit/migrate.py:migrate": "lets one process migrate at a time, as the owner",
}
_COMMITTER: Final = "the committer stores uploads of many companies in one statement, by design"
_EXCHANGE: Final = (
    "all keys of the key database, which is one node, are exchanged in one transaction: who makes "
    "or destroys one waits for it, and what either wrote is compared in the rows as well"
)
_ALL_KEYS: Final = "keys are exchanged, and told of, for all companies at once, by a role for that"
_BARRIER: Final = "bounded by a lease or a timeout; what it guards is compared in the gate as well"
_REKEYING: Final = {
    (f"server/{where}", Breach(Rule.ADVISORY, lock)): _EXCHANGE
    for where, lock in (
        ("rekeying/store.py:try_lock", "pg_try_advisory_lock"),
        ("rekeying/store.py:hold_up_others", "pg_advisory_xact_lock"),
        ("vault/store.py:wait_for_rewrapping", "pg_advisory_xact_lock_shared"),
    )
} | {
    (f"server/rekeying/store.py:{name}", Breach(Rule.ONE_COMPANY, table)): _ALL_KEYS
    for name, table in (
        ("waiting", "subject"),
        ("take_on", "subject"),
        ("company_keys", "company_key"),
        ("set_company_keys", "company_key"),
        ("standing", "company_key"),
        ("standing", "data_key"),
        ("standing", "subject"),
    )
}
EXEMPT: Final = {
    **_REKEYING,
    ("server/deposits/store.py:store", Breach(Rule.SET_OF_COMPANIES, "gate")): _COMMITTER,
    ("server/deposits/store.py:store", Breach(Rule.SET_OF_COMPANIES, "gate_closing")): _COMMITTER,
    ("server/deposits/store.py:store", Breach(Rule.LOCKED, "gate")): _COMMITTER,
    (
        "server/deposits/store.py:open_committer",
        Breach(Rule.SET_LOCAL, "plan_cache_mode = force_generic_plan"),
    ): "a connection of the committer's own, for good: it comes from no pool",
    (
        "server/accounts/store.py:every_company",
        Breach(Rule.ONE_COMPANY, "company"),
    ): "the job runner asks which companies there are, to work for each by itself",
    (
        "server/gate/store.py:share_live_barrier",
        Breach(Rule.ADVISORY, "pg_advisory_xact_lock_shared"),
    ): _BARRIER,
    (
        "server/gate/store.py:pass_live_barrier",
        Breach(Rule.ADVISORY, "pg_advisory_xact_lock"),
    ): _BARRIER,
    (
        "server/notices/preference_store.py:hold_on_its_way",
        Breach(Rule.ADVISORY, "pg_try_advisory_xact_lock_shared"),
    ): "for no more than one message that leaves just as somebody asks for none",
    (
        "server/notices/preference_store.py:pass_on_their_way",
        Breach(Rule.ADVISORY, "pg_advisory_xact_lock"),
    ): "for no more than one message that leaves just as somebody asks for none",
    (
        "server/vault/store.py:lock_peppers",
        Breach(Rule.ADVISORY, "pg_advisory_xact_lock"),
    ): "at the first start only, in the key database, which is one node",
    (
        "server/backups/store.py:heads",
        Breach(Rule.ONE_COMPANY, "ledger_head"),
    ): "a backup is of all companies, and made by the owner",
    (
        "server/backups/store.py:heads",
        Breach(Rule.ONE_COMPANY, "company"),
    ): "a backup is of all companies, and made by the owner",
    (
        "server/journal/store.py:heard_at",
        Breach(Rule.ONE_COMPANY, "journal_place"),
    ): "a restore of the key database tells until when it knows of any company; one node",
    (
        "server/journal/store.py:companies",
        Breach(Rule.ONE_COMPANY, "journal_place"),
    ): "before it serves, the server looks which companies there ever were; one node",
}
FOUND: Final = collect(TOP / "server", passed=PASSED, skipped=SKIPPED)


@pytest.fixture
async def tenants(
    owner: "asyncpg.Connection[asyncpg.Record]", keys_owner: "asyncpg.Connection[asyncpg.Record]"
) -> frozenset[str]:
    return await with_companies(owner) | await with_companies(keys_owner)


async def test_every_statement_of_the_server_is_read() -> None:
    assert FOUND.unread == []
    assert len(FOUND.texts) >= 280


async def test_every_statement_keeps_the_rules_of_scale(tenants: frozenset[str]) -> None:
    found = {(text.where, breach) for text in FOUND.texts for breach in breaches(text.sql, tenants)}

    assert found - EXEMPT.keys() == set()


async def test_no_exemption_of_a_statement_is_left_over(tenants: frozenset[str]) -> None:
    found = {(text.where, breach) for text in FOUND.texts for breach in breaches(text.sql, tenants)}

    assert EXEMPT.keys() - found == set()


@pytest.mark.parametrize("database", ["main", "keys"])
async def test_postgres_understands_every_statement(
    database: str,
    owner: "asyncpg.Connection[asyncpg.Record]",
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    conn = {"main": owner, "keys": keys_owner}[database]
    of_keys = (
        "server/backups/keys_store.py",
        "server/journal/",
        "server/rekeying/",
        "server/vault/",
    )

    for where, sql in FOUND.texts:
        if where.startswith(of_keys) == (database == "keys") and not sql.startswith("SET"):
            await conn.prepare(sql)


async def test_the_counts_after_an_erasure_keep_the_rules_too(
    owner: "asyncpg.Connection[asyncpg.Record]", tenants: frozenset[str]
) -> None:
    places = await erasure.places(owner)

    assert len(places) >= 30
    for place in places:
        assert breaches(place.count_statement, tenants) == set(), place


async def test_the_counts_of_the_data_map_keep_the_rules_too(
    owner: "asyncpg.Connection[asyncpg.Record]", tenants: frozenset[str]
) -> None:
    places = await rights.places(owner)

    assert len(places) >= 30
    for place in places:
        assert breaches(place.statement, tenants) == set(), place


async def test_the_search_before_keys_are_destroyed_keeps_the_rules_too(
    owner: "asyncpg.Connection[asyncpg.Record]", tenants: frozenset[str]
) -> None:
    tables = await searching.tables(owner)

    assert len(tables) >= 50
    for table in tables:
        assert breaches(table.search_statement, tenants) == set(), table


BAD: Final = {
    "SELECT blob FROM chunk WHERE driver_id = $1": Rule.ONE_COMPANY,
    "SELECT blob FROM chunk WHERE company_id = $1 OR driver_id = $2": Rule.ONE_COMPANY,
    "SELECT blob FROM chunk WHERE company_id <> $1": Rule.ONE_COMPANY,
    "SELECT blob FROM chunk WHERE company_id = driver_id": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate g JOIN shift s USING (driver_id) WHERE g.company_id = $1": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate g JOIN shift s ON s.driver_id = g.driver_id WHERE g.company_id = $1": (
        Rule.ONE_COMPANY
    ),
    "SELECT 1 FROM gate g WHERE g.company_id = $1 AND EXISTS"
    " (SELECT FROM shift s WHERE s.driver_id = g.driver_id)": Rule.ONE_COMPANY,
    "SELECT (SELECT count(*) FROM chunk), 1 FROM gate WHERE company_id = $1": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate g, LATERAL (SELECT 1 FROM chunk c WHERE c.driver_id = g.driver_id) AS x"
    " WHERE g.company_id = $1": Rule.ONE_COMPANY,
    "WITH c AS (DELETE FROM chunk WHERE driver_id = $2) SELECT 1 FROM gate WHERE company_id = $1": (
        Rule.ONE_COMPANY
    ),
    "SELECT 1 FROM gate WHERE company_id = $1 UNION SELECT 2 FROM gate": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate g LEFT JOIN shift s ON g.company_id = $1"
    " AND s.company_id = g.company_id": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate g FULL JOIN shift s ON s.company_id = $1 AND g.company_id = $1": (
        Rule.ONE_COMPANY
    ),
    "SELECT 1 FROM gate g LEFT JOIN shift s USING (company_id) WHERE s.company_id = $1": (
        Rule.ONE_COMPANY
    ),
    "SELECT 1 FROM gate g RIGHT JOIN shift s ON s.company_id = $1 WHERE g.company_id = $1": (
        Rule.ONE_COMPANY
    ),
    "DELETE FROM chunk": Rule.ONE_COMPANY,
    "DELETE FROM chunk c USING gate g WHERE g.company_id = $1 AND c.driver_id = g.driver_id": (
        Rule.ONE_COMPANY
    ),
    "UPDATE gate SET rev = rev + 1 WHERE driver_id = $1": Rule.ONE_COMPANY,
    "INSERT INTO shift (company_id, driver_id) SELECT $1, driver_id FROM gate": Rule.ONE_COMPANY,
    "SELECT 1 FROM gate WHERE company_id = ANY($1::uuid[])": Rule.SET_OF_COMPANIES,
    "SELECT 1 FROM gate g JOIN shift s USING (company_id) WHERE g.company_id = ANY($1::uuid[])": (
        Rule.SET_OF_COMPANIES
    ),
    "INSERT INTO gate (driver_id) VALUES ($1)": Rule.INSERTED,
    "INSERT INTO gate VALUES ($1, $2)": Rule.INSERTED,
    "INSERT INTO gate (company_id, driver_id) VALUES ($1, $2)"
    " ON CONFLICT (driver_id, company_id) DO NOTHING": Rule.INSERTED,
    "UPDATE gate SET company_id = $2 WHERE company_id = $1": Rule.MOVED,
    "UPDATE gate SET (company_id, rev) = ($2, 1) WHERE company_id = $1": Rule.MOVED,
    "INSERT INTO gate (company_id, driver_id) VALUES ($1, $2)"
    " ON CONFLICT (company_id, driver_id) DO UPDATE SET company_id = excluded.company_id": (
        Rule.MOVED
    ),
    "SELECT 1 FROM gate WHERE company_id = ANY($1::uuid[]) FOR SHARE": Rule.LOCKED,
    "SELECT 1 FROM gate g WHERE driver_id = $1 FOR NO KEY UPDATE OF g SKIP LOCKED": Rule.LOCKED,
    "SELECT 1 FROM member m WHERE m.company_id = $1 AND EXISTS"
    " (SELECT FROM login_directory d WHERE d.company_id = m.company_id)": Rule.DIRECTORY_ALONE,
    "DELETE FROM chunk WHERE company_id = $1 AND last_at < now()": Rule.VOLATILE,
    "INSERT INTO gate (company_id, driver_id) VALUES ($1, gen_random_uuid())": Rule.VOLATILE,
    "INSERT INTO gate (company_id, rev) VALUES ($1, 1) ON CONFLICT (company_id)"
    " DO UPDATE SET acted_at = current_timestamp": Rule.VOLATILE,
    "UPDATE gate SET rev = nextval('s') WHERE company_id = $1": Rule.VOLATILE,
    "WITH w AS (UPDATE gate SET rev = random() WHERE company_id = $1) SELECT 1": Rule.VOLATILE,
    "SELECT pg_advisory_lock(1)": Rule.ADVISORY,
    "SELECT set_config('app.company_id', $1, false)": Rule.SET_LOCAL,
    "SET app.company_id = '0'": Rule.SET_LOCAL,
    "MERGE INTO gate g USING shift s ON g.company_id = s.company_id WHEN MATCHED THEN DELETE": (
        Rule.READABLE
    ),
    "WITH gate AS (SELECT 1) SELECT 1 FROM gate": Rule.READABLE,
    "LOCK TABLE gate": Rule.READABLE,
    "TRUNCATE chunk": Rule.READABLE,
    "LISTEN x": Rule.READABLE,
    "SELECT 1 FROM gate WHERE company_id = $1; SELECT 2": Rule.READABLE,
    "SELEKT": Rule.READABLE,
}


@pytest.mark.parametrize("sql", BAD)
def test_control_a_statement_that_breaks_a_rule_is_named(sql: str) -> None:
    tenants = {"chunk", "gate", "login_directory", "member", "shift"}

    assert BAD[sql] in {breach.rule for breach in breaches(sql, tenants)}


def test_control_each_rule_for_statements_has_one_that_breaks_it() -> None:
    assert set(BAD.values()) == set(Rule)


GOOD: Final = (
    "SELECT 1 FROM gate g LEFT JOIN shift s ON s.company_id = g.company_id WHERE g.company_id = $1",
    "SELECT 1 FROM gate JOIN shift USING (company_id, driver_id) WHERE gate.company_id = $1",
    "SELECT 1 FROM gate g LEFT JOIN shift s USING (company_id) WHERE g.company_id = $1",
    "SELECT 1 FROM gate g RIGHT JOIN shift s ON g.company_id = $1 WHERE s.company_id = $1",
    "SELECT 1 FROM gate g LEFT JOIN shift s ON s.company_id = $1 WHERE g.company_id = $1",
    (
        "SELECT 1 FROM gate g WHERE g.company_id = $1 AND (rev = 1 OR EXISTS"
        " (SELECT FROM shift s WHERE s.company_id = g.company_id)) FOR SHARE OF g SKIP LOCKED"
    ),
    "SELECT now() FROM gate WHERE $1::uuid = company_id",
    "SELECT login_hash, company_id FROM login_directory WHERE login_hash = $1",
    "WITH old AS (SELECT driver_id FROM gate WHERE company_id = $1) SELECT driver_id FROM old",
)


@pytest.mark.parametrize("sql", GOOD)
def test_a_statement_that_keeps_the_rules_is_let_through(sql: str) -> None:
    assert breaches(sql, {"gate", "login_directory", "shift"}) == set()


def test_control_what_is_handed_to_a_connection_unseen_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "store.py").write_text(
        "async def known(conn):\n    await conn.fetch('SELECT 1')\n"
        "async def built(conn, x):\n    await conn.fetch(f'SELECT {x}')\n"
        "async def given(conn, sql):\n    await conn.execute(sql)\n"
        "async def copied(conn):\n    await conn.copy_records_to_table('gate', records=[])\n"
        "async def named(conn, sql):\n    await conn.fetchval(sql)\n"
    )

    found = collect(folder, passed={"server/store.py:named": ["SELECT 2"]}, skipped={"gone": ""})

    assert found.texts == [
        Text("server/store.py:known", "SELECT 1"),
        Text("server/store.py:named", "SELECT 2"),
    ]
    assert [one.split(" ")[0].removeprefix("server/store.py:") for one in found.unread] == [
        "built",
        "given",
        "copied",
        "gone",
    ]


def test_errors_are_told_apart_by_their_code_and_never_by_a_constraints_name() -> None:
    # Citus adds a suffix to the names of its shards' constraints.
    found = [
        f"{path.relative_to(TOP)}:{node.lineno}"
        for path in sorted((TOP / "server").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "constraint_name"
    ]

    assert found == []
