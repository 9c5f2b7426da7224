"""A small company in the database, made straight from the stores: for tests of one feature."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from server.accounts.model import Locale
from server.devices import service as devices
from server.gate import service as gate
from server.gate.model import GateItem
from server.kit import db, tokens
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.policies import service as policies
from server.policies.model import Document, sha256_of
from server.shifts import service as shifts
from server.vault.model import Category
from server.vault.service import Vault
from tests import consents as agreed

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
"""The time of the tests' clock."""
SHIFT_STARTED = NOW - timedelta(hours=2)
CONSENTED = NOW - timedelta(hours=3)
SESSION_LASTS = timedelta(hours=27)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    member_id: UUID
    device_id: UUID
    device_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    vault: Vault
    pool: Pool
    owner: "asyncpg.Connection[asyncpg.Record]"
    company_id: UUID
    driver: Driver

    @classmethod
    async def make(
        cls, *, vault: Vault, pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]"
    ) -> "World":
        company_id = await add_company(vault, owner)
        driver = await add_driver(vault, pool, company_id)
        return cls(vault=vault, pool=pool, owner=owner, company_id=company_id, driver=driver)

    @property
    def keys_pool(self) -> Pool:
        """Sessions of the application's role on ``keys``: the vault's own."""
        return self.vault._pool  # noqa: SLF001 - so that no test has to hand it on beside the vault

    async def session(self, role: str, *, stepped_up: bool = False) -> str:
        """Add a member with this role who is logged in; return the bearer token."""
        member_id = await add_member(self.vault, self.pool, self.company_id, role=role)
        token = await open_session(self.pool, self.company_id, member_id)
        if stepped_up:
            await step_up(self.pool, token)
        return token

    async def driver_session(self, driver: "Driver | None" = None) -> str:
        """Log the (or a given) driver in as a person, not as their device."""
        member_id = (driver or self.driver).member_id
        return await open_session(self.pool, self.company_id, member_id)


async def add_company(
    vault: Vault,
    owner: "asyncpg.Connection[asyncpg.Record]",
    *,
    grace_s: int = 0,
    at: datetime = CONSENTED,
) -> UUID:
    company_id = uuid7()
    await owner.execute(
        "INSERT INTO company (company_id, name, time_zone, erasure_grace_s, created_at)"
        " VALUES ($1, 'Aral Freight', 'Asia/Almaty', $2, $3)",
        company_id,
        grace_s,
        at,
    )
    await vault.create_company(company_id, at)
    async with owner.transaction():
        await policies.set_controller(
            owner,
            company_id,
            business_number=agreed.BIN,
            privacy_contact=agreed.CONTACT,
            now=at,
        )
        await policies.ship(owner, company_id, at)
    return company_id


async def add_member(
    vault: Vault,
    pool: Pool,
    company_id: UUID,
    *,
    role: str,
    name: str = "Dana Dispatch",
    at: datetime = CONSENTED,
) -> UUID:
    """Add an active member without a log-in of their own."""
    member_id = uuid7()
    await vault.create_subject(company_id, member_id)
    sealed = await vault.seal_text(
        company_id,
        member_id,
        Category.IDENTITY,
        name,
        row_id=member_id,
        schema="member.name",
        now=at,
    )
    async with db.tenant(pool, company_id) as conn:
        await conn.execute(
            "INSERT INTO member (company_id, member_id, role, state, locale, name_sealed,"
            " created_at) VALUES ($1, $2, $3, 'active', 'en', $4, $5)",
            company_id,
            member_id,
            role,
            sealed,
            at,
        )
    return member_id


async def begin_erasing(world: World, member_id: UUID) -> None:
    """Let the member's history be deleted, as the erasing job finds it."""
    await world.owner.execute("UPDATE member SET state = 'erasing' WHERE member_id = $1", member_id)


async def open_session(
    pool: Pool, company_id: UUID, member_id: UUID, *, at: datetime = CONSENTED
) -> str:
    token, digest = tokens.mint("js", company_id)
    async with db.tenant(pool, company_id) as conn:
        await conn.execute(
            "INSERT INTO session (company_id, token_hash, member_id, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5)",
            company_id,
            digest,
            member_id,
            at,
            at + SESSION_LASTS,
        )
    return token


async def step_up(pool: Pool, token: str) -> str:
    """Let the session count as proven anew for as long as it lasts; return its token."""
    parsed = tokens.parse(token)
    assert parsed is not None
    async with db.tenant(pool, parsed.company_id) as conn:
        await conn.execute(
            "UPDATE session SET stepped_up_until = expires_at"
            " WHERE company_id = $1 AND token_hash = $2",
            parsed.company_id,
            parsed.digest,
        )
    return token


async def add_driver(
    vault: Vault,
    pool: Pool,
    company_id: UUID,
    *,
    name: str = "Aidos Testov",
    consents: tuple[GateItem, ...] = tuple(GateItem),
    on_shift: bool = True,
    noticed: bool = True,
    at: datetime = CONSENTED,
) -> Driver:
    """Add an active driver with one device; by default all is given and a shift is on.

    Consents are given at ``at``, and the shift begins an hour later. Without ``noticed`` the device
    has not shown its notice yet.
    """
    member_id = await add_member(vault, pool, company_id, role="driver", name=name, at=at)
    device_id = uuid7()
    token, digest = tokens.mint("jd", company_id)
    async with db.tenant(pool, company_id) as conn:
        await conn.execute(
            "INSERT INTO device (company_id, device_id, member_id, number, name_sealed,"
            " token_hash, created_at) VALUES ($1, $2, $3, 0, $4, $5, $6)",
            company_id,
            device_id,
            member_id,
            await vault.seal_text(
                company_id,
                member_id,
                Category.IDENTITY,
                "Pixel",
                row_id=device_id,
                schema="device.name",
                now=at,
            ),
            digest,
            at,
        )
        await gate.create(conn, company_id, member_id)
        await gate.set_account_active(conn, company_id, member_id, active=True)
        if noticed:
            await acknowledge(conn, company_id, member_id, device_id, now=at)
        await agreed.give(conn, company_id, member_id, *consents, now=at)
        if on_shift:
            await shifts.start(conn, company_id, member_id, now=at + (SHIFT_STARTED - CONSENTED))
    return Driver(member_id=member_id, device_id=device_id, device_token=token)


async def acknowledge(
    conn: db.Connection,
    company_id: UUID,
    driver_id: UUID,
    device_id: UUID,
    *,
    edition: int = 1,
    now: datetime = CONSENTED,
) -> None:
    """Acknowledge an edition of the device notice that reads as the one we ship."""
    text = policies.shipped(Document.DEVICE_NOTICE)[Locale.EN]
    await devices.acknowledge(
        conn,
        company_id,
        driver_id,
        device_id,
        edition=edition,
        language=Locale.EN,
        sha256=sha256_of(text),
        now=now,
    )
