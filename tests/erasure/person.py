"""A driver who left a trace in every table that can hold one, and looking for that trace."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from server.accounts import credentials
from server.accounts import service as accounts
from server.accounts.model import Locale, MemberState, NewMember, Role
from server.consent import service as consent
from server.consent.model import ConsentAct
from server.gate import service as gate
from server.gate import store as gate_store
from server.gate.model import GateItem
from server.kit import db, tokens
from server.kit.ids import uuid7
from server.kit.localpg.place import binary
from server.routes import service as routes
from server.routes.model import Stop
from server.vault.model import Category, SealedText
from server.vault.service import Vault
from tests.world import CONSENTED, NOW, SHIFT_STARTED, World

if TYPE_CHECKING:
    import asyncpg

TRACK: Final = "43.2389490,76.8897090"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    driver_id: UUID
    session: str
    device_token: str
    canaries: tuple[str, ...]
    """What may be read nowhere after the erasure."""
    digests: tuple[bytes, ...]
    """What the person could be recognised by without a key; gone as well."""
    sealed: tuple[SealedText, ...]
    """As an old dump would hold them; each opens to something with a canary in it."""


async def add_person(world: World, number: int = 1) -> Person:
    """Add a driver the way it happens: invited, accepted, consented, tracked."""
    name, email = f"Aizhan Kanarova-{number}", f"kanarova{number}@example.kz"
    phone = f"+7701555012{number}"
    company_id = world.company_id
    new = NewMember(name=name, role=Role.DRIVER, locale=Locale.KK, phone=phone, email=email)
    async with db.tenant(world.pool, company_id) as conn:
        profile, invitation = await accounts.add_member(
            conn, world.vault, company_id, new, now=CONSENTED
        )
        driver_id = profile.member_id
        await gate.set_account_active(conn, company_id, driver_id, active=True)
        await accounts.set_state(conn, company_id, driver_id, MemberState.ACTIVE)
        session = await credentials.open_session(
            conn, company_id, driver_id, Role.DRIVER, lasts=timedelta(days=1), now=CONSENTED
        )
        device, device_token = await credentials.add_device(
            conn, world.vault, company_id, driver_id, name=f"{name}'s phone", now=CONSENTED
        )
        for item in GateItem:
            await consent.decide(conn, company_id, driver_id, item, ConsentAct.GIVE, now=CONSENTED)
        await consent.start_shift(conn, company_id, driver_id, now=SHIFT_STARTED)
        await _plan_route(conn, world, driver_id)
    row = await world.owner.fetchrow("SELECT * FROM member WHERE member_id = $1", driver_id)
    assert row is not None
    upload_id, blob = await _track(world, driver_id)
    await _leave_the_rest(world, driver_id)
    digests = [row["phone_hash"], row["email_hash"]]
    for text in (session.token, device_token, invitation.code):
        token = tokens.parse(text)
        assert token is not None
        digests.append(token.digest)
    return Person(
        driver_id=driver_id,
        session=session.token,
        device_token=device_token,
        canaries=(name, phone, email, *TRACK.split(",")),
        digests=tuple(digests),
        sealed=(
            SealedText(sealed=row["name_sealed"], row_id=driver_id, schema="member.name"),
            SealedText(sealed=row["phone_sealed"], row_id=driver_id, schema="member.phone"),
            SealedText(sealed=row["email_sealed"], row_id=driver_id, schema="member.email"),
            SealedText(sealed=device.name_sealed, row_id=device.device_id, schema="device.name"),
            SealedText(sealed=blob, row_id=upload_id, schema="chunk"),
        ),
    )


async def _plan_route(conn: db.Connection, world: World, driver_id: UUID) -> None:
    stop = Stop(
        stop_id=uuid7(),
        name="Depot",
        lat=51.0,
        lon=71.0,
        radius_m=50.0,
        service_s=0.0,
        planned_arrival=None,
        window_start=None,
        window_end=None,
    )
    new = routes.NewRoute(
        name="Round",
        day=NOW.date(),
        driver_id=driver_id,
        vehicle_id=None,
        planned_start=NOW,
        stops=[stop, stop],
        line=None,
    )
    draft = await routes.drafted(new)
    await routes.create(conn, world.vault, world.company_id, draft, now=NOW)


async def _track(world: World, driver_id: UUID) -> tuple[UUID, bytes]:
    upload_id = uuid7()
    key = await world.vault.key(world.company_id, driver_id, Category.TRACK, at=NOW)
    blob = key.seal(TRACK.encode(), row_id=upload_id.bytes, schema="chunk")
    await world.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at, count,"
        " key_id, blob) VALUES ($1, $2, $3, $4, $3, $3, 1, $5, $6)",
        world.company_id,
        driver_id,
        NOW,
        upload_id,
        key.key_id,
        blob,
    )
    return upload_id, blob


async def _leave_the_rest(world: World, driver_id: UUID) -> None:
    """Write what a smooth life leaves empty: a live position, refusals, an act that died."""
    live = await world.vault.key(world.company_id, driver_id, Category.LIVE, at=NOW)
    await world.owner.execute(
        "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id, blob)"
        " VALUES ($1, $2, $3, $3, $4, 'sealed')",
        world.company_id,
        driver_id,
        NOW,
        live.key_id,
    )
    await count_refusal(world, driver_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate_store.insert_closing(conn, world.company_id, driver_id, uuid7(), NOW)


async def count_refusal(world: World, driver_id: UUID) -> None:
    await world.owner.execute(
        "INSERT INTO refusal_count (company_id, driver_id, day, reason, count)"
        " VALUES ($1, $2, $3, 'too_old', 1)",
        world.company_id,
        driver_id,
        NOW.date(),
    )


async def opened(vault: Vault, company_id: UUID, person: Person) -> list[str | None]:
    """Try to read an old dump's sealed values with today's keys."""
    return await vault.open_texts(company_id, person.sealed)


async def everything(owner: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[str]]:
    """Return every row of every table as text, bytes as hexadecimal digits."""
    tables = await owner.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    return {
        table["name"]: [
            row["row"]
            for row in await owner.fetch(f"SELECT t::text AS row FROM {table['name']} t")  # noqa: S608 - the catalogue's own names
        ]
        for table in tables
    }


async def tables_naming(owner: "asyncpg.Connection[asyncpg.Record]", person_id: UUID) -> set[str]:
    found = await everything(owner)
    return {table for table, rows in found.items() if any(str(person_id) in row for row in rows)}


async def sql_dump(dsn: str) -> str:
    """Return a plain SQL dump of the whole database."""
    process = await asyncio.create_subprocess_exec(
        str(binary("pg_dump")), "--dbname", dsn, stdout=asyncio.subprocess.PIPE
    )
    dump, _ = await process.communicate()
    assert process.returncode == 0
    return dump.decode()


def traces(person: Person, text: str) -> list[str]:
    """Return the canaries and digests that stand in ``text``, in clear or as digits."""
    wanted = [
        *person.canaries,
        *(canary.encode().hex() for canary in person.canaries),
        *(digest.hex() for digest in person.digests),
        *(one.sealed.hex() for one in person.sealed),
    ]
    return [one for one in wanted if one in text]
