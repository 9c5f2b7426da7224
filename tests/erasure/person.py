"""A driver who left a trace in every table that can hold one, and looking for that trace."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.consent.model import ConsentItem
from server.credentials import service as credentials
from server.credentials.model import MemberState, Role
from server.devices import service as devices
from server.gate import service as gate
from server.kit import db, tokens
from server.kit.localpg.place import binary
from server.notice_kinds.kinds import NoticeKind
from server.notices import preparing
from server.notices.model import Notice
from server.shifts import service as shifts
from server.standing import service as standing
from server.vault.model import SealedText
from server.vault.service import Vault
from tests import consents
from tests.erasure import kept, life, registers, route
from tests.erasure.life import ANSWER, GUARDIAN, PAPER, QUESTION, TRACK
from tests.world import CONSENTED, SHIFT_STARTED, World, acknowledge

if TYPE_CHECKING:
    import asyncpg

SAID: Final = (QUESTION, ANSWER, GUARDIAN, PAPER, route.SAID, *kept.SAID, *registers.SAID)
ALL: Final = tuple(one.value for one in ConsentItem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    driver_id: UUID
    pseudonym: UUID
    """How the ledger knows them. It stays, and nothing tells any more whose it was."""
    session: str
    device_token: str
    canaries: tuple[str, ...]
    """What may be read nowhere after the erasure."""
    digests: tuple[bytes, ...]
    """What the person could be recognised by without a key; gone as well."""
    sealed: tuple[SealedText, ...]
    """As an old dump would hold them; each opens to something with a canary in it."""
    notices: tuple[Notice, ...]
    """Written to them, and to others about them; as an old dump would hold them."""

    @property
    def blobs(self) -> list[bytes]:
        return [
            *(one.sealed for one in self.sealed),
            *(one.text_sealed for one in self.notices if one.text_sealed is not None),
        ]


async def add_person(world: World, number: int = 1) -> Person:
    """Add a driver the way it happens: invited, told, consented, tracked, looked at."""
    name, email = f"Aizhan Kanarova-{number}", f"kanarova{number}@example.kz"
    phone = f"+7701555{120 + number:04}"
    company_id = world.company_id
    new = NewMember(name=name, role=Role.DRIVER, locale=Locale.KK, phone=phone, email=email)
    async with db.tenant(world.pool, company_id) as conn:
        profile, invitation = await accounts.add_member(
            conn, world.vault, company_id, new, now=CONSENTED
        )
        driver_id = profile.member_id
        await gate.set_account_active(conn, company_id, driver_id, active=True)
        await accounts.set_state(conn, company_id, driver_id, MemberState.ACTIVE)
    await life.attest_and_dispute(world, driver_id)
    clarified = await life.clarify(world, driver_id)
    corrected = await life.correct(world, driver_id, email=email)
    async with db.tenant(world.pool, company_id) as conn:
        await standing.note_used(conn, company_id, driver_id, CONSENTED)
        session = await credentials.open_session(
            conn, company_id, driver_id, Role.DRIVER, lasts=timedelta(days=1), now=CONSENTED
        )
        device, device_token = await devices.add(
            conn, world.vault, company_id, driver_id, name=f"{name}'s phone", now=CONSENTED
        )
        await acknowledge(conn, company_id, driver_id, device.device_id)
        await consents.give(conn, company_id, driver_id, *ALL, now=CONSENTED)
        await shifts.start(conn, company_id, driver_id, now=SHIFT_STARTED)
    entrusted = await life.entrust(world, driver_id)
    upload_id, blob = await life.track(world, driver_id)
    await life.deliver(world, driver_id)
    reported = await life.report(world, driver_id)
    on_the_road = await route.leave(world, driver_id)
    held = await kept.leave(world, driver_id)
    registered = await registers.leave(world, driver_id)
    await life.leave_the_rest(world, driver_id, device.device_id)
    row = await world.owner.fetchrow("SELECT * FROM member WHERE member_id = $1", driver_id)
    assert row is not None
    digests = [row["phone_hash"], row["email_hash"]]
    for text in (session.token, device_token, invitation.code):
        token = tokens.parse(text)
        assert token is not None
        digests.append(token.digest)
    return Person(
        driver_id=driver_id,
        pseudonym=await _pseudonym(world, driver_id),
        session=session.token,
        device_token=device_token,
        canaries=(name, phone, email, *SAID, *TRACK.split(",")),
        digests=(*digests, *await _proofs(world, driver_id)),
        sealed=(
            SealedText(sealed=row["name_sealed"], row_id=driver_id, schema="member.name"),
            SealedText(sealed=row["phone_sealed"], row_id=driver_id, schema="member.phone"),
            SealedText(sealed=row["email_sealed"], row_id=driver_id, schema="member.email"),
            SealedText(sealed=device.name_sealed, row_id=device.device_id, schema="device.name"),
            SealedText(sealed=blob, row_id=upload_id, schema="chunk"),
            reported,
            *on_the_road,
            *clarified,
            *corrected,
            *entrusted,
            *held,
            *registered,
        ),
        notices=await _notices(world, driver_id),
    )


async def _pseudonym(world: World, driver_id: UUID) -> UUID:
    found: UUID = await world.owner.fetchval(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = $1", driver_id
    )
    return found


async def _proofs(world: World, driver_id: UUID) -> list[bytes]:
    """Return what ties the ledger's commitments to the person's consent records."""
    rows = await world.owner.fetch(
        "SELECT nonce, record_sha256 FROM consent_record WHERE driver_id = $1", driver_id
    )
    assert len(rows) >= len(ALL)
    return [value for row in rows for value in row]


async def _notices(world: World, driver_id: UUID) -> tuple[Notice, ...]:
    """Return what was written to the person, and to others about them."""
    rows = await world.owner.fetch(
        "SELECT notice_id, member_id, kind, queued_at, language, text_sealed FROM notice n"
        " WHERE text_sealed IS NOT NULL AND (member_id = $1 OR EXISTS (SELECT FROM notice_person p"
        " WHERE p.notice_id = n.notice_id AND p.member_id = $1))",
        driver_id,
    )
    assert {row["member_id"] == driver_id for row in rows} == {True, False}
    return tuple(Notice(**{**row, "kind": NoticeKind(row["kind"]), "facts": {}}) for row in rows)


async def opened(vault: Vault, company_id: UUID, person: Person) -> list[str | None]:
    """Try to read an old dump's sealed values with today's keys."""
    notices = await preparing.opened(vault, company_id, person.notices)
    return [
        *await vault.open_texts(company_id, person.sealed),
        *(None if one is None else one.body for one in notices),
    ]


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
    """Return the tables with the id in any spelling: as text, as bytes, as text in bytes."""
    spelled = (str(person_id), person_id.hex, str(person_id).encode().hex())
    return {
        table
        for table, rows in (await everything(owner)).items()
        if any(one in row for row in rows for one in spelled)
    }


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
        *(blob.hex() for blob in person.blobs),
    ]
    return [one for one in wanted if one in text]
