"""What members were told, and what the ledger says, as a test wants to see it."""

import json
from typing import Any
from uuid import UUID

from tests.world import World


async def told(world: World, member_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Return the kinds and values of the notices queued for a member, oldest first."""
    rows = await world.owner.fetch(
        "SELECT kind, facts FROM notice WHERE member_id = $1 ORDER BY notice_id", member_id
    )
    return [(row["kind"], json.loads(row["facts"])) for row in rows]


async def last_entry(world: World) -> tuple[str, str, dict[str, Any]]:
    """Return act, kind of actor and facts of the ledger's last entry."""
    row = await world.owner.fetchrow(
        "SELECT act, actor_kind, facts FROM ledger_entry WHERE company_id = $1"
        " ORDER BY index DESC LIMIT 1",
        world.company_id,
    )
    assert row is not None
    return row["act"], row["actor_kind"], json.loads(row["facts"])


async def is_about(world: World, member_id: UUID) -> bool:
    """Tell whether the ledger's last entry is about this member."""
    found: bool = await world.owner.fetchval(
        "SELECT s.member_id = $2 FROM ledger_entry e LEFT JOIN ledger_subject s"
        " ON s.company_id = e.company_id AND s.pseudonym = e.subject_id"
        " WHERE e.company_id = $1 ORDER BY e.index DESC LIMIT 1",
        world.company_id,
        member_id,
    )
    return found
