"""The script of the production-like run, run as PostgreSQL's image runs it, and what it makes."""

import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
import yaml
from aiohttp import ClientSession

from server import databases as databases_of
from server import running
from server import settings as settings_of
from server.kit import db, localpg
from server.kit.revision import SchemaUnreadable
from server.kit.web import utc_now
from server.settings import Settings
from tests.running import say_nothing

TOP: Final = Path(__file__).parents[1]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((TOP / "docker-compose.yml").read_text())
SCRIPT: Final = TOP / COMPOSE["configs"]["server_log_in"]["file"]
DATABASES: Final = ("main", "keys")
ROLES: Final = {
    "main": {db.ROLE_APP, db.ROLE_COMMITTER, db.ROLE_JOBS},
    "keys": {db.ROLE_KEYS, db.ROLE_REKEYING},
}
# All that a shell, psql, SQL and an address could take for something else.
AWKWARD: Final = """it's a "quoted" \\ $(id) `id` :'x' :x %20 @/#? Ж"""
# As in the image: the owner needs no password on the server itself, everybody else does.
WHO_MAY: Final = "local all jolda trust\nlocal all all scram-sha-256\n"

each_database = pytest.mark.parametrize("name", DATABASES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Two PostgreSQL servers as compose would have them, and the folder of secrets."""

    folder: Path
    servers: Mapping[str, localpg.Server]

    def environment(self, service: str) -> dict[str, str]:
        """What compose gives to a service, with our places in it."""
        given = COMPOSE["services"][service]["environment"]
        return {
            key: re.sub(r"@(\w+):5432/(\w+)$", self._at, value)
            .replace("/run/secrets", str(self.folder / "secrets"))
            .replace("/var/lib/jolda", str(self.folder / "jolda"))
            for key, value in given.items()
            if "${" not in value
        }

    def _at(self, address: re.Match[str]) -> str:
        return f"@/{address[2]}?host={self.servers[address[1]].socket}"

    def settings(self, service: str) -> Settings:
        ours = {
            "JOLDA_HOME": str(self.folder),
            "JOLDA_PORT": "0",
            "JOLDA_OPS_PORT": "0",
            "JOLDA_ALLOW_UNSAFE_POSTGRES": "for-tests-only",
            "JOLDA_STORAGE_COUNTRY": "KZ",
        }
        return settings_of.read(self.environment(service) | ours)

    def password_file(self, name: str) -> Path:
        return self.folder / "secrets" / f"{name}_server_password"

    def script(self, name: str, **others: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{self.folder / 'programs'}:/usr/bin:/bin",
            "PGHOST": str(self.servers[name].socket),
            "WORDS": str(self.folder / "words"),
        }
        return subprocess.run(  # noqa: S603 - our own script
            [SCRIPT],
            env=environment | self.environment(name) | others,
            capture_output=True,
            text=True,
            check=False,
        )

    async def owner(self, name: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.servers[name].dsn(name))

    async def log_in(
        self, name: str, *, role: str | None = None
    ) -> "asyncpg.Connection[asyncpg.Record]":
        found = self.settings("server")
        return await db.connect(
            (found.database_url if name == "main" else found.keys_database_url) or "", role=role
        )


@pytest.fixture(scope="module")
async def run() -> AsyncIterator[Run]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        servers = {}
        for name in DATABASES:
            server = await stack.enter_async_context(
                localpg.run(folder / name / "postgres", unsafe_for_tests=True)
            )
            servers[name] = server
            (server.data / "pg_hba.conf").write_text(WHO_MAY)
            admin = await asyncpg.connect(server.dsn())
            await admin.execute(f"CREATE DATABASE {name}")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()
        made = Run(folder=folder, servers=servers)
        _make_files(made)
        for name in DATABASES:
            done = made.script(name)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        await _migrate(made)
        yield made


@contextmanager
def _folder() -> Iterator[Path]:
    # Not tmp_path: as root that lies in a folder which the database's user may not enter.
    with tempfile.TemporaryDirectory(prefix="jolda-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def _make_files(run: Run) -> None:
    (run.folder / "secrets").mkdir(mode=0o700)
    for name in DATABASES:
        run.password_file(name).write_text(f" {AWKWARD}\n")
        (run.folder / "secrets" / f"{name}_password").write_text("the owner is not asked\n")
    # It keeps the words that everybody on the machine could see, and then is psql.
    psql = run.folder / "programs" / "psql"
    psql.parent.mkdir()
    psql.write_text(
        f'#!/usr/bin/env bash\nprintf "%s\\n" "$@" >>"$WORDS"\nexec {localpg.binary("psql")} "$@"\n'
    )
    psql.chmod(0o755)


async def _migrate(run: Run) -> None:
    async with databases_of.available(run.settings("migrate"), say=say_nothing) as dsns:
        await databases_of.bring_up_to_date(dsns, say=say_nothing)


async def _make_company(run: Run) -> None:
    found = run.settings("server")
    async with databases_of.available(found, say=say_nothing) as dsns:
        await running.create_company(
            found,
            dsns,
            running.NewCompany(
                name="Aral Freight",
                time_zone="Asia/Almaty",
                main_user_name="Aigerim",
                main_user_email="aigerim@aral.example",
                erasure_grace=timedelta(0),
            ),
            now=utc_now(),
        )


async def test_the_log_in_serves(run: Run) -> None:
    await _make_company(run)
    found = run.settings("server")

    async with databases_of.available(found, say=say_nothing) as dsns:
        await databases_of.refuse_outdated(dsns)
        async with (
            running.server(found, dsns, say=say_nothing) as server,
            ClientSession() as client,
        ):
            health = await client.get(f"{server.ops_address.url}/healthz")

    assert health.status == 200
    assert "jolda_server" in dsns.main


@each_database
async def test_it_owns_nothing_and_may_become_nothing_but_its_roles(run: Run, name: str) -> None:
    owner = await run.owner(name)
    owned = await owner.fetchval(
        "SELECT count(*) FROM pg_shdepend"
        " WHERE refobjid = 'jolda_server'::regrole AND deptype IN ('o', 'a')"
    )
    roles = await owner.fetch(
        "SELECT rolname FROM pg_roles WHERE pg_has_role('jolda_server', oid, 'MEMBER')"
    )
    may = await owner.fetchrow(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication,"
        " rolinherit FROM pg_roles WHERE rolname = 'jolda_server'"
    )
    await owner.close()

    assert owned == 0
    assert {row["rolname"] for row in roles} == ROLES[name] | {"jolda_server"}
    assert tuple(may or ()) == (True, False, False, False, False, False, False)


@each_database
async def test_as_itself_it_reads_and_makes_nothing(run: Run, name: str) -> None:
    conn = await run.log_in(name)
    tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert len(tables) >= 5

    for statement in (
        *(f"SELECT FROM {row['tablename']}" for row in tables),
        "CREATE TABLE mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "GRANT jolda TO jolda_server",
        "SET ROLE jolda",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(statement)
    await conn.close()


async def test_as_a_role_it_sees_the_company_that_it_entered(run: Run) -> None:
    await _make_company(run)
    owner = await run.owner("main")
    company_id = await owner.fetchval("SELECT company_id FROM company LIMIT 1")
    await owner.close()

    conn = await run.log_in("main", role=db.ROLE_APP)
    before = await conn.fetchval("SELECT count(*) FROM company")
    async with conn.transaction():
        await db.enter(conn, company_id)
        within = await conn.fetchval("SELECT count(*) FROM company")
    await conn.close()

    assert (before, within) == (0, 1)


@each_database
async def test_without_the_grant_it_is_refused_and_the_script_grants_again(
    run: Run, name: str
) -> None:
    found = run.settings("server")
    dsns = databases_of.Databases(main=found.database_url or "", keys=found.keys_database_url or "")
    owner = await run.owner(name)
    await owner.execute(f"REVOKE {', '.join(ROLES[name])} FROM jolda_server")
    await owner.close()

    with pytest.raises(SchemaUnreadable, match=f"{name} database has not been granted"):
        await databases_of.refuse_outdated(dsns)
    for role in ROLES[name]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run.log_in(name, role=role)
    assert run.script(name).returncode == 0
    await databases_of.refuse_outdated(dsns)


@each_database
async def test_the_script_run_again_sets_a_new_password(run: Run, name: str) -> None:
    file = run.password_file(name)
    file.write_text("another one\n")
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await run.log_in(name)
        assert run.script(name).returncode == 0
        await (await run.log_in(name)).close()
    finally:
        file.write_text(f"{AWKWARD}\n")
        assert run.script(name).returncode == 0


@each_database
def test_the_password_is_in_no_command_message_or_log(run: Run, name: str) -> None:
    passed = run.script(name)
    # PostgreSQL would log the statement that fails.
    failed = run.script(name, PGOPTIONS="-c default_transaction_read_only=on")

    assert (passed.returncode, failed.returncode) == (0, 3)
    words = (run.folder / "words").read_text()
    assert "--no-password" in words
    seen = (words, passed.stderr, failed.stderr, run.servers[name].log.read_text())
    # A part of it too: it may be cut at a quote.
    assert [text for text in seen if AWKWARD in text or "quoted" in text] == []
    assert "read-only transaction" in failed.stderr


@each_database
@pytest.mark.parametrize("content", [None, "", " \n"])
async def test_without_a_password_the_script_fails_and_changes_nothing(
    run: Run, name: str, content: str | None
) -> None:
    file = run.folder / "password"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)

    done = run.script(name, SERVER_PASSWORD_FILE=str(file))

    assert done.returncode == 1
    assert "There is no password in" in done.stderr
    await (await run.log_in(name)).close()


def test_each_server_runs_the_script_when_it_is_made() -> None:
    # Not executable, it would be sourced, and its `set -u` would hold in the image's own script.
    assert os.access(SCRIPT, os.X_OK)
    for name in DATABASES:
        assert COMPOSE["services"][name]["configs"] == [
            {
                "source": "server_log_in",
                "target": f"/docker-entrypoint-initdb.d/{SCRIPT.name}",
            }
        ]
