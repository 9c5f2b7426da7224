"""A company whose ledger has entries of every shape, checkpoints, and reads that were closed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg

from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.ledger import reads, service
from server.ledger.model import Act, Actor, ActorKind, Place, ReadPurpose, Screen
from server.ledger.verify import Verdict, verify
from server.rights.service import tell_of_alert
from server.vault.model import LedgerWitness
from server.vault.service import Vault
from tests.world import NOW, Driver, World, add_member

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ENTRIES = 40
CHECKPOINTS = (9, 21, 34)
CLOSED_AT = (15, 28)
"""Entries that close a bucket of reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    vault: Vault
    company_id: UUID
    driver_id: UUID
    dispatcher_id: UUID
    last: int
    checkpoints: tuple[int, ...]
    witness: LedgerWitness

    async def verdict(self, conn: Connection, *, witnessed: bool = True) -> Verdict:
        return await verify(
            conn,
            self.company_id,
            public_keys=self.vault.public_keys(),
            witness=self.witness if witnessed else None,
        )


async def bare_company(vault: Vault, owner: Owner) -> UUID:
    """Make a company in which nothing ever happened: its ledger is empty."""
    company_id = uuid7()
    await owner.execute(
        "INSERT INTO company (company_id, name, time_zone, created_at)"
        " VALUES ($1, 'Balqash Freight', 'Asia/Almaty', $2)",
        company_id,
        NOW,
    )
    await vault.create_company(company_id, NOW)
    return company_id


async def bare_world(vault: Vault, pool: Pool, owner: Owner) -> World:
    """Make a company whose ledger is empty, with a driver nobody ever wrote of."""
    company_id = await bare_company(vault, owner)
    member_id = await add_member(vault, pool, company_id, role="driver")
    driver = Driver(member_id=member_id, device_id=uuid7(), device_token="")
    return World(vault=vault, pool=pool, owner=owner, company_id=company_id, driver=driver)


async def enrolled(world: World, role: str = "driver") -> UUID:
    """Add a member who has a pseudonym and a key."""
    member_id = await add_member(world.vault, world.pool, world.company_id, role=role)
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.enrol(conn, world.vault, world.company_id, member_id, NOW)
    return member_id


async def append_some(
    pool: Pool, company_id: UUID, *, driver_id: UUID, dispatcher_id: UUID, number: int
) -> Place:
    """Append an entry whose shape depends on its number."""
    by_driver = Actor(kind=ActorKind.DRIVER, member_id=driver_id)
    by_staff = Actor(kind=ActorKind.DISPATCHER, member_id=dispatcher_id)
    by_token = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    async with db.tenant(pool, company_id) as conn:
        match number % 4:
            case 0:
                return await service.append(
                    conn,
                    company_id,
                    Act.CONSENT_GIVEN,
                    actor=by_driver,
                    subject_id=driver_id,
                    detail={"item": "location", "sources": ["gps", "wifi"], "number": number},
                    facts={"epoch": number},
                    now=NOW + timedelta(seconds=number, microseconds=number),
                )
            case 1:
                return await service.append(
                    conn,
                    company_id,
                    Act.MEMBER_BLOCKED,
                    actor=by_staff,
                    subject_id=driver_id,
                    now=NOW + timedelta(seconds=number),
                )
            case 2:
                return await service.append(
                    conn,
                    company_id,
                    Act.LINK_CREATED,
                    actor=by_token,
                    subject_id=driver_id,
                    facts={"days": 7, "format": "gpx", "text": 'кириллица, "quotes", \\'},
                    now=NOW + timedelta(seconds=number),
                )
            case _:
                return await service.append(
                    conn,
                    company_id,
                    Act.EDITION_PUBLISHED,
                    actor=Actor(kind=ActorKind.SYSTEM),
                    subject_id=None,
                    facts={"document": "driver_notice", "edition": number},
                    now=NOW + timedelta(seconds=number),
                )


async def build(world: World, entries: int = ENTRIES) -> Chain:
    driver_id = await enrolled(world)
    other_id = await enrolled(world)
    dispatcher_id = await enrolled(world, "dispatcher")
    looking = reads.Reads(world.pool, tell_of_alert)
    viewer = Actor(kind=ActorKind.DISPATCHER, member_id=dispatcher_id)
    at = NOW
    for number in range(1, entries + 1):
        if number in CLOSED_AT:
            await looking.record(
                world.company_id,
                viewer,
                ReadPurpose.DISPATCH_TRACKING,
                Screen.LIVE_MAP,
                [driver_id, other_id],
                at,
            )
            await looking.record(
                world.company_id,
                viewer,
                ReadPurpose.PLAN_FACT,
                Screen.TRACK,
                [driver_id],
                at,
            )
            at += timedelta(minutes=10)
            async with db.tenant(world.pool, world.company_id) as conn:
                assert await reads.close_read_buckets(conn, world.company_id, at) == 1
        else:
            await append_some(
                world.pool,
                world.company_id,
                driver_id=driver_id,
                dispatcher_id=dispatcher_id,
                number=number,
            )
        if number in CHECKPOINTS:
            async with db.tenant(world.pool, world.company_id) as conn:
                made = await service.checkpoint(conn, world.vault, world.company_id, at)
            assert made is not None
            assert made.index == number
    last = max(one for one in CHECKPOINTS if one <= entries)
    chain = await world.owner.fetchval(
        "SELECT hash FROM ledger_entry WHERE company_id = $1 AND index = $2",
        world.company_id,
        last,
    )
    return Chain(
        vault=world.vault,
        company_id=world.company_id,
        driver_id=driver_id,
        dispatcher_id=dispatcher_id,
        last=entries,
        checkpoints=tuple(one for one in CHECKPOINTS if one <= entries),
        witness=LedgerWitness(index=last, hash=chain),
    )
