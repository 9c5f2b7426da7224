"""What the database itself refuses, whoever asks."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from server.accounts.model import Locale
from server.kit import db
from server.policies import store
from server.policies.model import AddedItem, ChangeClass, Document, Edition, Text, sha256_of
from tests.world import NOW, World

THIRTY_DAYS = timedelta(days=30)
WAITING = sorted(set(ChangeClass) - {ChangeClass.FIRST})


def an_edition(change_class: ChangeClass, /, *, waits: timedelta, **more: Any) -> Edition:
    purpose = AddedItem.PLAN_FACT if change_class is ChangeClass.ADDS_PURPOSE else None
    given = {
        "document": Document.DRIVER_NOTICE,
        "edition": 1 if change_class is ChangeClass.FIRST else 2,
        "change_class": change_class,
        "adds_purpose": purpose,
        "published_at": NOW,
        "noticed_at": NOW,
        "effective_at": NOW + waits,
        **more,
    }
    return Edition(**given)


async def insert(world: World, edition: Edition, *, text: str = "Текст") -> None:
    russian = Text(language=Locale.RU, text=text, sha256=sha256_of(text))
    async with db.tenant(world.pool, world.company_id) as conn:
        await store.insert_edition(conn, world.company_id, edition)
        await store.insert_text(conn, world.company_id, edition.document, edition.edition, russian)


@pytest.mark.proves(
    "relog-service:8.2",
    "relog-driver-manager-apps:7.1",
    "gocargo:questions-updates",
    "cargotechservice:5.1",
    "qoldau:15",
)
@pytest.mark.parametrize("change_class", WAITING)
async def test_29_days_23_hours_59_minutes_after_the_notice_is_too_soon(
    world: World, change_class: ChangeClass
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(
            world, an_edition(change_class, waits=timedelta(days=29, hours=23, minutes=59))
        )
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(world, an_edition(change_class, waits=THIRTY_DAYS - timedelta(microseconds=1)))

    await insert(world, an_edition(change_class, waits=THIRTY_DAYS))


async def test_a_first_edition_need_not_wait_but_is_never_dated_back(world: World) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(world, an_edition(ChangeClass.FIRST, waits=-timedelta(seconds=1)))

    await insert(world, an_edition(ChangeClass.FIRST, waits=timedelta(0)))


async def test_by_the_rule_before_a_word_was_enough_to_begin_at_once(world: World) -> None:
    """The control: it is this check, and nothing else, that holds `protective` back."""
    at_once = an_edition(ChangeClass.PROTECTIVE, waits=timedelta(0))
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(world, at_once)
    before = world.owner.transaction()
    await before.start()
    await world.owner.execute(
        "ALTER TABLE policy_edition DROP CONSTRAINT policy_edition_notice_period,"
        " ADD CONSTRAINT policy_edition_notice_period CHECK (change_class IN"
        " ('first', 'protective') OR effective_at >= noticed_at + interval '720 hours') NOT VALID"
    )

    written = await store.insert_edition(world.owner, world.company_id, at_once)

    await before.rollback()
    assert written


async def test_the_notice_period_is_not_shortened_by_the_clocks_of_a_session(
    world: World,
) -> None:
    """In New York a day in March has 23 hours: 30 of its days are an hour too few."""
    noticed = datetime.fromisoformat("2027-03-01T12:00:00+00:00")
    edition = an_edition(
        ChangeClass.MATERIAL,
        waits=timedelta(0),
        published_at=noticed,
        noticed_at=noticed,
        effective_at=noticed + THIRTY_DAYS - timedelta(hours=1),
    )

    async with world.pool.acquire() as conn, conn.transaction():
        await db.enter(conn, world.company_id)
        await conn.execute("SET LOCAL timezone = 'America/New_York'")
        thirty_of_theirs = await conn.fetchval(
            "SELECT $1::timestamptz + interval '30 days'", noticed
        )
        assert thirty_of_theirs == edition.effective_at
        with pytest.raises(asyncpg.CheckViolationError):
            await store.insert_edition(conn, world.company_id, edition)


@pytest.mark.parametrize(
    "wrong",
    [
        {"edition": 2, "change_class": ChangeClass.FIRST},
        {"edition": 1, "change_class": ChangeClass.MATERIAL},
        {"adds_purpose": AddedItem.PLAN_FACT},
        {"change_class": ChangeClass.ADDS_PURPOSE, "adds_purpose": None},
        {"published_at": NOW + timedelta(seconds=1)},
        {"edition": 0, "change_class": ChangeClass.PROTECTIVE},
    ],
    ids=["late first", "early other", "a purpose", "no purpose", "backdated notice", "zeroth"],
)
async def test_an_edition_that_contradicts_itself_is_refused(
    world: World, wrong: dict[str, Any]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(world, an_edition(ChangeClass.MATERIAL, waits=2 * THIRTY_DAYS, **wrong))


async def test_an_edition_without_its_prevailing_text_does_not_commit(world: World) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with db.tenant(world.pool, world.company_id) as conn:
            await store.insert_edition(
                conn, world.company_id, an_edition(ChangeClass.FIRST, waits=timedelta(0))
            )


async def test_a_hash_that_is_not_the_texts_is_refused(world: World) -> None:
    edition = an_edition(ChangeClass.FIRST, waits=timedelta(0))
    false = Text(language=Locale.RU, text="Текст", sha256=sha256_of("Другой"))
    async with world.pool.acquire() as conn, conn.transaction():
        await db.enter(conn, world.company_id)
        await store.insert_edition(conn, world.company_id, edition)
        with pytest.raises(asyncpg.CheckViolationError):
            await store.insert_text(conn, world.company_id, edition.document, 1, false)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE policy_edition SET effective_at = noticed_at",
        "UPDATE policy_edition SET change_class = 'protective'",
        "DELETE FROM policy_edition",
        "UPDATE policy_text SET text = 'x'",
        "DELETE FROM policy_text",
        "UPDATE policy_acceptance SET accepted_at = accepted_at",
        "UPDATE policy_applied SET applied_at = applied_at",
        "DELETE FROM policy_applied",
    ],
)
async def test_the_servers_role_cannot_rewrite_what_was_published_or_accepted(
    shipped: World, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.tenant(shipped.pool, shipped.company_id) as conn:
            await conn.execute(statement)
