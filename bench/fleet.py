"""The fleet of a bench: drivers who gave every consent and have been on shift for a day."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from bench.servers import Served
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db, tokens
from tests.proofs import Progress, Size
from tests.stage import Stage
from tests.world import add_company, add_driver

ON_SHIFT: Final = timedelta(hours=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDriver:
    company_id: UUID
    driver_id: UUID
    token: str = field(repr=False)
    """Of the driver's device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where every section of the bench measures."""

    at: Stage
    size: Size
    fleet: Sequence[FleetDriver]
    ours: Served
    plain: Served
    """The baseline."""

    @property
    def smoke(self) -> bool:
        return self.size == "smoke"


async def make_fleet(
    at: Stage, count: int, *, companies: int, without: Sequence[GateItem] = ()
) -> list[FleetDriver]:
    """Make drivers, those of each company in turn; ``without`` names what they did not agree to."""
    now = datetime.now(UTC)
    ids = [await add_company(at.vault, at.owner) for _ in range(companies)]
    progress = Progress("drivers", count)
    fleet = []
    for place in range(count):
        fleet.append(await _make_driver(at, ids[place % companies], without, now))
        progress.step()
    return fleet


async def _make_driver(
    at: Stage, company_id: UUID, without: Sequence[GateItem], now: datetime
) -> FleetDriver:
    driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
    async with db.tenant(at.pool, company_id) as conn:
        for item in set(GateItem) - set(without):
            await gates.set_consent(conn, company_id, driver.member_id, item, now - ON_SHIFT)
        await gates.open_window(
            conn, company_id, driver.member_id, at=now - ON_SHIFT, expires_at=now + ON_SHIFT
        )
    return FleetDriver(company_id=company_id, driver_id=driver.member_id, token=driver.device_token)


async def log_in(at: Stage, driver: FleetDriver) -> str:
    """Return a session of the driver themself."""
    now = datetime.now(UTC)
    token, digest = tokens.mint("js", driver.company_id)
    async with db.tenant(at.pool, driver.company_id) as conn:
        await conn.execute(
            "INSERT INTO session (company_id, token_hash, member_id, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5)",
            driver.company_id,
            digest,
            driver.driver_id,
            now,
            now + ON_SHIFT,
        )
    return token
