"""A company whose ledger has entries of every shape, checkpoints, and what entries bind.

That is reads that were closed, and consents: of drivers who are there, and of one who was erased.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg

from server.audit.consents import ConsentRecords
from server.consent import acts
from server.consent import service as consent
from server.consent.model import ConsentActor, ConsentItem, ConsentState, LocationTerms
from server.gate import service as gate
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.ledger import service
from server.ledger.model import Act, Actor, ActorKind, Place
from server.ledger.verify import Verdict, verify
from server.policies import service as policies
from server.reads import service as reads
from server.reads.closed import ClosedReads
from server.reads.model import ReadPurpose, Screen
from server.rights.service import tell_of_alert
from server.vault.model import LedgerWitness
from server.vault.service import Vault
from tests.consents import BIN, CONTACT, NOTICE
from tests.world import NOW, Driver, World, add_member, begin_erasing

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ENTRIES = 40
CHECKPOINTS = (9, 21, 34)
CLOSED_AT = (15, 28)
"""Entries that close a bucket of reads."""
DRIVER, OTHER, LEAVER = range(3)
CONSENTS = {
    4: (DRIVER, ConsentItem.LOCATION, ConsentState.GIVEN),
    8: (OTHER, ConsentItem.PLAN_FACT, ConsentState.GIVEN),
    12: (LEAVER, ConsentItem.LOCATION, ConsentState.GIVEN),
    16: (DRIVER, ConsentItem.DISPATCH_TRACKING, ConsentState.GIVEN),
    20: (DRIVER, ConsentItem.LOCATION, ConsentState.WITHDRAWN),
    24: (OTHER, ConsentItem.NOTIFICATIONS, ConsentState.GIVEN),
    32: (OTHER, ConsentItem.PLAN_FACT, ConsentState.WITHDRAWN),
    36: (DRIVER, ConsentItem.LOCATION, ConsentState.GIVEN),
    40: (OTHER, ConsentItem.LOCATION, ConsentState.GIVEN),
}
"""Entries of consents, by their place."""
ERASED_AT = 38
RECORDED = tuple(one for one, (who, _, _) in CONSENTS.items() if who != LEAVER)
"""Those whose records are still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    vault: Vault
    company_id: UUID
    driver_id: UUID
    other_id: UUID
    dispatcher_id: UUID
    last: int
    checkpoints: tuple[int, ...]
    witness: LedgerWitness
    compared: bool = True
    """With what the entries bind; else the chain alone."""

    async def verdict(self, conn: Connection, *, witnessed: bool = True) -> Verdict:
        return await verify(
            conn,
            self.company_id,
            public_keys=self.vault.public_keys(),
            witness=self.witness if witnessed else None,
            counterparts=(ClosedReads(), ConsentRecords()) if self.compared else (),
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


async def decide(world: World, driver_id: UUID, item: ConsentItem, state: ConsentState) -> None:
    """Write down that a driver gave or withdrew a consent."""
    is_given = state is ConsentState.GIVEN
    async with db.tenant(world.pool, world.company_id) as conn:
        change = acts.Change(
            driver_id=driver_id,
            item=item,
            states=[state],
            who=acts.Who(
                actor=ConsentActor.DRIVER,
                ledger=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
            ),
            notice=NOTICE if is_given else None,
            terms=LocationTerms() if is_given and item is ConsentItem.LOCATION else None,
        )
        cells = await acts.cells_of(conn, world.company_id, driver_id)
        await acts.enact(conn, world.company_id, cells, change, now=NOW)


async def erase(world: World, driver_id: UUID) -> None:
    """Erase a driver, as far as the ledger is concerned."""
    await begin_erasing(world, driver_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await consent.erase(conn, world.company_id, driver_id)
        await service.append(
            conn,
            world.company_id,
            Act.MEMBER_ERASED,
            actor=Actor(kind=ActorKind.SYSTEM),
            subject_id=driver_id,
            now=NOW,
        )
        await service.erase(conn, world.company_id, driver_id)


async def with_gates(world: World) -> list[UUID]:
    """Add drivers who can be asked for consents."""
    await policies.set_controller(
        world.owner, world.company_id, business_number=BIN, privacy_contact=CONTACT, now=NOW
    )
    drivers = [await enrolled(world) for _ in (DRIVER, OTHER, LEAVER)]
    async with db.tenant(world.pool, world.company_id) as conn:
        for one in drivers:
            await gate.create(conn, world.company_id, one)
    return drivers


async def build(world: World, entries: int = ENTRIES) -> Chain:
    drivers = await with_gates(world)
    driver_id, other_id, leaver_id = drivers
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
                assert await reads.close_buckets(conn, world.company_id, at) == 1
        elif number in CONSENTS:
            who, item, state = CONSENTS[number]
            await decide(world, drivers[who], item, state)
        elif number == ERASED_AT:
            await erase(world, leaver_id)
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
        other_id=other_id,
        dispatcher_id=dispatcher_id,
        last=entries,
        checkpoints=tuple(one for one in CHECKPOINTS if one <= entries),
        witness=LedgerWitness(index=last, hash=chain),
    )
