"""What a backup, and the fence, ask of the key database. Each function is one statement."""

from dataclasses import dataclass
from uuid import UUID

from server.backups.model import SealedKey
from server.kit.db import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """The newest signing key of the key database."""

    key_id: UUID
    sealed: SealedKey


async def has_signing_keys(conn: Connection) -> bool:
    found: bool = await conn.fetchval("SELECT to_regclass('public.signing_key') IS NOT NULL")
    return found


async def public_keys(conn: Connection) -> dict[UUID, bytes]:
    rows = await conn.fetch("SELECT key_id, public_key FROM signing_key")
    return {row["key_id"]: row["public_key"] for row in rows}


async def signing_key(conn: Connection) -> FoundKey | None:
    """Return the newest signing key as it is wrapped now."""
    row = await conn.fetchrow(
        """
        SELECT key_id, kek_id, wrapped FROM signing_key
         ORDER BY created_at DESC, key_id DESC LIMIT 1
        """
    )
    if row is None:
        return None
    sealed = SealedKey(kek_id=row["kek_id"], wrapped=row["wrapped"])
    return FoundKey(key_id=row["key_id"], sealed=sealed)


async def has_installation(conn: Connection) -> bool:
    found: bool = await conn.fetchval("SELECT to_regclass('public.installation') IS NOT NULL")
    return found


async def forget_installation(conn: Connection) -> None:
    """Let a restored key database be another one than that which was backed up."""
    await conn.execute("DELETE FROM installation")


async def has_company_key(conn: Connection, company_id: UUID) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM company_key WHERE company_id = $1)", company_id
    )
    return found
