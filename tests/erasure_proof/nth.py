"""Whichever operation fails of an erasure, or of issuing its certificate: it goes on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from server.certificates import service as certificates
from server.erasure import saga, service
from server.erasure.model import Request, State
from server.gate import service as gate
from server.kit import db
from server.ledger.model import Actor, ActorKind
from tests.erasure.person import tables_naming
from tests.faults.flows import told_of
from tests.faults.nth import Broken, Told
from tests.faults.scene import Scene
from tests.uploading import positions
from tests.world import NOW, Driver

LATER: Final = NOW + timedelta(minutes=1)


async def asked(scene: Scene) -> tuple[Driver, Request]:
    """Let a driver upload, and their erasure begin."""
    scene.clock.at = NOW
    driver = await scene.driver()
    body = {"positions": positions(10)}
    await scene.post("/v1/positions", driver.device_token, body)
    by, place = Actor(kind=ActorKind.DISPATCHER), (scene.company_id, driver.member_id)
    async with gate.stopping(scene.aside.pool, *place, now=NOW) as conn:
        return driver, await service.ask(conn, *place, by=by, reason=None, now=NOW)


@dataclass(frozen=True, slots=True)
class Erasing:
    """The job erases a driver."""

    scene: Scene
    name: str = "erasure"

    async def prepare(self) -> tuple[Driver, Request]:
        return await asked(self.scene)

    async def act(self, case: tuple[Driver, Request]) -> Told:
        world, request_id = self.scene.world, case[1].request_id
        try:
            await saga.run(world.pool, world.vault, world.company_id, request_id, LATER)
        except Exception as error:  # noqa: BLE001 - as the job runner takes it
            return told_of(error)
        return Told.DONE

    async def check(self, case: tuple[Driver, Request], told: Told) -> None:
        driver, request = case
        scene, owner = self.scene, self.scene.aside.owner
        row = await owner.fetchrow(
            "SELECT r.state, s.protocol FROM erasure_request r LEFT JOIN erasure_search s"
            " USING (company_id, request_id) WHERE request_id = $1",
            request.request_id,
        )
        assert row is not None
        keys = await scene.aside.vault.key_ids(scene.company_id, driver.member_id)
        left = await tables_naming(owner, driver.member_id) - {"public.erasure_request"}
        is_erased = row["state"] == State.ERASED.value
        if told is Told.DONE and not is_erased:
            raise Broken(f"done, but the request is {row['state']}")
        if is_erased and (left or keys):
            raise Broken(f"erased, but {len(keys)} keys and rows in {sorted(left)} are left")
        if not keys and row["protocol"] is None:
            raise Broken("the keys went before anybody looked")


@dataclass(frozen=True, slots=True)
class Certifying:
    """The job issues the certificate of somebody whom no copy of the keys opens any more."""

    scene: Scene
    name: str = "certificate"

    async def prepare(self) -> UUID:
        driver, request = await asked(self.scene)
        world = self.scene.aside
        await saga.run(world.pool, world.vault, world.company_id, request.request_id, LATER)
        assert await world.vault.key_ids(world.company_id, driver.member_id) == []
        return request.request_id

    async def act(self, case: UUID) -> Told:
        world = self.scene.world
        try:
            async with db.tenant(world.pool, world.company_id) as conn:
                await certificates.issue(
                    conn,
                    world.vault,
                    world.company_id,
                    case,
                    backups_unreadable_at=LATER,
                    now=LATER,
                )
        except Exception as error:  # noqa: BLE001 - as the job runner takes it
            return told_of(error)
        return Told.DONE

    async def check(self, case: UUID, told: Told) -> None:
        parts = await self._parts(case)
        if parts not in ({1} if told is Told.DONE else {0}, {1}):
            raise Broken(f"{told.value}, but of the parts of a certificate there are {parts}")
        entries: Any = await self.scene.aside.owner.fetchrow(
            "SELECT (SELECT count(*) FROM ledger_entry WHERE company_id = $1"
            " AND act = 'erasure_certified') AS entries,"
            " (SELECT count(*) FROM erasure_certificate WHERE company_id = $1) AS certificates",
            self.scene.company_id,
        )
        if entries["entries"] != entries["certificates"]:
            raise Broken("an entry of the ledger is of no certificate")

    async def _parts(self, request_id: UUID) -> set[int]:
        """Count the document, its entry with a checkpoint after it, and the time in the request."""
        row = await self.scene.aside.owner.fetchrow(
            "SELECT count(c.request_id) AS documents, count(e.index) AS entries,"
            " count(p.index) AS checkpoints, count(r.backups_unreadable_at) AS times"
            " FROM erasure_request r"
            " LEFT JOIN erasure_certificate c USING (company_id, request_id)"
            " LEFT JOIN ledger_entry e ON e.company_id = r.company_id AND e.index = c.ledger_index"
            " LEFT JOIN ledger_checkpoint p ON p.company_id = r.company_id"
            " AND p.index = c.ledger_index WHERE r.request_id = $1",
            request_id,
        )
        assert row is not None
        return set(row.values())
