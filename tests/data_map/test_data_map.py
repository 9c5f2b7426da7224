"""Every column says what it holds, and what it says is so; a comment that does not is found."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

import pytest
from asyncpg.connection import LoggedQuery

from server import settings
from server.app import ENDPOINTS
from server.background import jobs_of
from server.credentials import service as credentials
from server.credentials.access import Access
from server.databases import Opened
from server.erasure.model import Step
from server.erasure.saga import ERASERS
from server.kit import db
from server.kit.db import Connection
from tests.data_map.catalogue import Column, Conn, columns, read
from tests.data_map.checks import Code, wrong
from tests.data_map.erasers import takes_away
from tests.data_map.page import FILE, page
from tests.data_map.words import CATEGORIES, NONE, NOT_ERASED, NOT_EXPORTED, RETENTIONS
from tests.http import Clock
from tests.world import NOW, World

PAYMENT: Final = re.compile(r"(^|_)(card|iban|pan|cvv|cvc|payment|bank|bic|swift)(_|$)")
SOUND: Final = (
    "class=personal/contact form=sealed retention=erasure eraser=erase_account exporter=read_me"
)


@pytest.fixture
async def every(owner: Conn, keys_owner: Conn) -> list[Column]:
    return [*await columns(owner, "main"), *await columns(keys_owner, "keys")]


@pytest.fixture
def code(opened: Opened) -> Code:
    jobs = jobs_of(opened, settings.read({}), Clock())
    return Code(
        erasers={Step.END_SESSIONS, Step.DESTROY_KEYS, *(step for step, _ in ERASERS)},
        accesses={one.name: one.access for one in ENDPOINTS if isinstance(one.access, Access)},
        jobs={*jobs.every_minute, *jobs.every_day},
    )


@pytest.mark.proves("cargotechservice:1.4", "relog-driver-manager-apps:1.3.3")
async def test_every_column_says_what_it_holds_and_what_it_says_is_there(
    every: list[Column], code: Code
) -> None:
    assert wrong(every, code) == []


async def test_the_page_is_what_the_columns_say(every: list[Column]) -> None:
    assert FILE.read_text(encoding="utf-8") == page(every), "Run: python -m tests.data_map"


async def test_no_word_is_explained_that_no_column_uses(every: list[Column]) -> None:
    mapped = [read(column) for column in every]

    assert {one.category for one in mapped} - {None} == set(CATEGORIES)
    assert {one.retention for one in mapped} == set(RETENTIONS)
    erasers = {one.eraser or "" for one in mapped}
    assert {word for word in erasers if word.startswith(NONE)} == {NONE + one for one in NOT_ERASED}
    exporters = {one.exporter or "" for one in mapped}
    assert {word for word in exporters if word.startswith(NONE)} == {
        NONE + one for one in NOT_EXPORTED
    }


def test_of_what_stays_under_an_id_it_says_what_old_copies_tell() -> None:
    """What can be read in them is read in tests/certificates/test_residue.py."""
    told = {word for word, said in NOT_ERASED.items() if "copy of `main` from before" in said}

    assert told == {"pseudonym", "tombstone", "nobody", "commitment"}
    page_as_it_is = FILE.read_text(encoding="utf-8")
    for claim in ("points to nobody", "is nobody's any more", "only the person has, it matches"):
        assert claim not in page_as_it_is


@pytest.mark.proves("gocargo:collection-and-use-1")
async def test_what_identifies_only_together_is_personal_as_well(every: list[Column]) -> None:
    personal = {f"{one.column.table}.{one.column.name}" for one in map(read, every) if one.category}

    assert {"chunk.blob", "chunk.last_at", "vehicle.plate", "device.device_id"} <= personal


@pytest.mark.proves("relog-service:2.1")
async def test_no_column_is_for_means_of_payment(every: list[Column]) -> None:
    names = [column.name for column in every]

    assert [name for name in names if PAYMENT.search(name)] == []
    # The control: what such columns are called.
    assert all(PAYMENT.search(name) for name in ("card_number", "iban", "bank_account", "cvv"))


# ---- the control: each kind of gap is found


async def test_a_new_column_without_a_comment_is_found(owner: Conn, code: Code) -> None:
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("ALTER TABLE member ADD COLUMN nickname text")
    found = wrong(await columns(owner, "main"), code)
    await transaction.rollback()

    assert found == ["main: member.nickname has no comment."]


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("Whatever.", "has a comment that does not begin with class=, form=, retention=."),
        ("class=plain form=clear", "does not begin with class=, form=, retention=."),
        ("class=plain form=clear retention=", "does not begin with"),
        (f"{SOUND} eraser=erase_gate", "does not begin with"),
        (SOUND.replace(" exporter=read_me", ""), "does not begin with"),
        ("class=plain form=sealed retention=company", "is said to be plain, and tells who"),
        ("class=secret form=clear retention=company", "a class that there is not: secret"),
        (SOUND.replace("contact", "gossip"), "a class that there is not: personal/gossip"),
        (SOUND.replace("sealed", "painted"), "a form that there is not: painted"),
        (SOUND.replace("sealed", "clear"), "said not to be sealed"),
        (SOUND.replace("contact", "account"), "no key is of the category personal/account"),
        (SOUND.replace("=erasure", "=whenever"), "a retention that there is not: whenever"),
        (SOUND.replace("erase_account", "erase_all"), "no such eraser: erase_all"),
        (SOUND.replace("erase_account", "verify"), "no such eraser: verify"),
        (SOUND.replace("erase_account", "none:why"), "for a reason that there is not: why"),
        (SOUND.replace("erase_account", "none:nobody"), "and nothing erases it"),
        (SOUND.replace("read_me", "read_all"), "no such exporter: read_all"),
        (SOUND.replace("read_me", "set_device_permission"), "by what nobody may call"),
        (SOUND.replace("read_me", "none:why"), "for a reason that there is not: why"),
    ],
)
@pytest.mark.proves("cargotechservice:1.1-1.3")
def test_a_comment_that_says_what_is_not_so_is_found(comment: str, said: str, code: Code) -> None:
    sound = Column(database="main", table="member", name="email_sealed", comment=SOUND)

    found = wrong([sound, replace(sound, comment=comment)], code)

    assert all(sentence.startswith("main: member.email_sealed ") for sentence in found)
    assert said in found[0]


async def test_a_job_that_there_is_not_is_found(every: list[Column], code: Code) -> None:
    without = replace(code, jobs=set(code.jobs) - {"forget_alerts"})

    found = wrong(every, without)

    assert found
    assert all("by a job that there is not: forget_alerts" in sentence for sentence in found)


# ---- what is named as an eraser takes the rows away, or the person out of them


async def statements_of_the_erasers(world: World) -> dict[str, str]:
    """Return what each step of the erasing job asks of ``main``."""

    async def end_sessions(conn: Connection, company_id: UUID, member_id: UUID) -> int:
        return await credentials.end_sessions_and_devices(conn, company_id, member_id, now=NOW)

    said: dict[str, list[str]] = {}
    await world.owner.execute("UPDATE member SET state = 'erasing'")
    async with db.tenant(world.pool, world.company_id) as conn:
        for step, work in ((Step.END_SESSIONS, end_sessions), *ERASERS):
            heard: list[LoggedQuery] = []
            with conn.query_logger(heard.append):
                await work(conn, world.company_id, world.driver.member_id)
            await asyncio.sleep(0)  # it is told after the statement
            said[step] = [one.query for one in heard]
    return {step: ";".join(statements) for step, statements in said.items()}


def unerased(found: Iterable[Column], said: Mapping[str, str]) -> list[str]:
    """Return the columns that their eraser leaves as they are."""
    left = []
    for one in map(read, found):
        if one.eraser is None or one.eraser.startswith(NONE):
            continue
        if one.eraser == Step.DESTROY_KEYS:  # without its key it is noise
            gone = one.form == "sealed" or one.column.table == "data_key"
        else:
            gone = takes_away(said[one.eraser], one.column.table, one.column.name)
        if not gone:
            left.append(str(one.column))
    return left


async def test_each_eraser_takes_away_what_names_it(world: World, every: list[Column]) -> None:
    said = await statements_of_the_erasers(world)

    assert unerased(every, said) == []
    # The control: the gate's eraser deletes no member.
    email = Column(database="main", table="member", name="email_sealed", comment=SOUND)
    wrong_one = replace(email, comment=SOUND.replace("erase_account", "erase_gate"))
    assert unerased([email, wrong_one], said) == ["main: member.email_sealed"]


async def test_a_column_is_not_erased_by_changing_another_one_of_its_row(
    world: World, owner: Conn
) -> None:
    said = await statements_of_the_erasers(world)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(
        "ALTER TABLE route ADD COLUMN driver_remark text;"
        " COMMENT ON COLUMN route.driver_remark IS 'class=personal/work form=clear"
        " retention=plan_days eraser=erase_routes exporter=none:on_request'"
    )
    found = [one for one in await columns(owner, "main") if one.table == "route"]
    await transaction.rollback()

    assert unerased(found, said) == ["main: route.driver_remark"]
    # Its step does change rows of that table: that alone says nothing.
    assert "UPDATE route" in said["erase_routes"]


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("DELETE FROM route WHERE company_id = $1", {"driver_id", "note", "title"}),
        ("UPDATE route SET driver_id = NULL WHERE note = $1", {"driver_id"}),
        ("UPDATE route AS r SET note = '', driver_id = NULL FROM x", {"driver_id", "note"}),
        ("UPDATE route r SET (note, driver_id) = (NULL, $1)", {"driver_id", "note"}),
        ("WITH a AS (UPDATE route SET note = '' RETURNING title = '') SELECT", {"note"}),
        ("UPDATE route SET note = coalesce($1, title, (driver_id = $2)::text)", {"note"}),
        ("UPDATE route_stop SET note = '', driver_id = NULL", set()),
        ("UPDATE other SET note = ''; DELETE FROM routes", set()),
        ("INSERT INTO route VALUES (1) ON CONFLICT DO UPDATE SET note = ''", set()),
    ],
)
def test_of_an_update_only_what_it_sets_is_taken_away(statement: str, names: set[str]) -> None:
    found = {
        name for name in ("driver_id", "note", "title") if takes_away(statement, "route", name)
    }

    assert found == names
