"""Devices, API tokens and who is behind them, in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.credentials.model import (
    UNUSED_LASTS,
    ApiToken,
    Caller,
    Credential,
    Device,
    MemberState,
    Role,
    Scope,
)
from server.kit.db import Connection, Record


async def device_caller(conn: Connection, company_id: UUID, token_hash: bytes) -> Credential | None:
    row = await conn.fetchrow(
        """
        SELECT d.device_id, d.member_id, d.revoked_at IS NOT NULL AS revoked, m.role, m.state
          FROM device d
          JOIN member m ON m.company_id = d.company_id AND m.member_id = d.member_id
         WHERE d.company_id = $1 AND d.token_hash = $2
        """,
        company_id,
        token_hash,
    )
    if row is None:
        return None
    return Credential(
        caller=Caller(
            company_id=company_id,
            role=Role(row["role"]),
            member_id=row["member_id"],
            device_id=row["device_id"],
        ),
        state=MemberState(row["state"]),
        revoked=row["revoked"],
    )


async def api_token_caller(
    conn: Connection, company_id: UUID, token_hash: bytes
) -> Credential | None:
    row = await conn.fetchrow(
        """
        SELECT api_token_id, scopes, expires_at, revoked_at IS NOT NULL AS revoked
          FROM api_token
         WHERE company_id = $1 AND token_hash = $2
        """,
        company_id,
        token_hash,
    )
    if row is None:
        return None
    return Credential(
        caller=Caller(
            company_id=company_id,
            api_token_id=row["api_token_id"],
            scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        ),
        expires_at=row["expires_at"],
        revoked=row["revoked"],
    )


async def credentials_of_screens(
    conn: Connection, company_id: UUID, token_hashes: Collection[bytes]
) -> dict[bytes, Credential]:
    """Return what those of the tokens stand for that are sessions or API tokens, by digest."""
    rows = await conn.fetch(
        """
        SELECT s.token_hash, s.member_id, m.role, m.state,
               least(s.expires_at, coalesce(s.used_at, s.created_at) + $3) AS expires_at,
               NULL::uuid AS api_token_id, NULL::text[] AS scopes, false AS revoked,
               m.role <> 'driver' AND c.staff_second_factor AND f.confirmed_at IS NULL AS must_enrol
          FROM session s
          JOIN member m ON m.company_id = s.company_id AND m.member_id = s.member_id
          JOIN company c ON c.company_id = s.company_id
          LEFT JOIN second_factor f
            ON f.company_id = s.company_id AND f.member_id = s.member_id
         WHERE s.company_id = $1 AND s.token_hash = ANY($2::bytea[])
        UNION ALL
        SELECT token_hash, NULL, NULL, NULL, expires_at,
               api_token_id, scopes, revoked_at IS NOT NULL, false
          FROM api_token
         WHERE company_id = $1 AND token_hash = ANY($2::bytea[])
        """,
        company_id,
        list(token_hashes),
        UNUSED_LASTS,
    )
    return {
        row["token_hash"]: Credential(
            caller=Caller(
                company_id=company_id,
                role=None if row["role"] is None else Role(row["role"]),
                member_id=row["member_id"],
                api_token_id=row["api_token_id"],
                scopes=frozenset(Scope(scope) for scope in row["scopes"] or ()),
                must_enrol=row["must_enrol"],
            ),
            state=None if row["state"] is None else MemberState(row["state"]),
            expires_at=row["expires_at"],
            revoked=row["revoked"],
        )
        for row in rows
    }


async def insert_device(conn: Connection, device: Device, token_hash: bytes) -> None:
    await conn.execute(
        """
        INSERT INTO device (company_id, device_id, member_id, number, name_sealed, token_hash,
                            created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        device.company_id,
        device.device_id,
        device.member_id,
        device.number,
        device.name_sealed,
        token_hash,
        device.created_at,
    )


async def next_device_number(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Return the number after the highest ever used. Revoked devices stay, so none comes twice."""
    number: int = await conn.fetchval(
        """
        SELECT coalesce(max(number), -1) + 1 FROM device WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    return number


async def devices(conn: Connection, company_id: UUID, member_id: UUID) -> list[Device]:
    rows = await conn.fetch(
        """
        SELECT company_id, device_id, member_id, number, name_sealed, created_at, revoked_at
          FROM device
         WHERE company_id = $1 AND member_id = $2
         ORDER BY number
        """,
        company_id,
        member_id,
    )
    return [_device(row) for row in rows]


async def device(
    conn: Connection, company_id: UUID, member_id: UUID, device_id: UUID
) -> Device | None:
    row = await conn.fetchrow(
        """
        SELECT company_id, device_id, member_id, number, name_sealed, created_at, revoked_at
          FROM device
         WHERE company_id = $1 AND member_id = $2 AND device_id = $3
        """,
        company_id,
        member_id,
        device_id,
    )
    return None if row is None else _device(row)


async def devices_of_tokens(
    conn: Connection, company_id: UUID, token_hashes: Sequence[bytes]
) -> dict[bytes, Device]:
    """Return by the token's hash whose device it is, also a revoked one."""
    rows = await conn.fetch(
        """
        SELECT token_hash, company_id, device_id, member_id, number, name_sealed, created_at,
               revoked_at
          FROM device
         WHERE company_id = $1 AND token_hash = ANY($2::bytea[])
        """,
        company_id,
        token_hashes,
    )
    return {
        row["token_hash"]: Device(
            company_id=row["company_id"],
            device_id=row["device_id"],
            member_id=row["member_id"],
            number=row["number"],
            name_sealed=row["name_sealed"],
            created_at=row["created_at"],
            revoked_at=row["revoked_at"],
        )
        for row in rows
    }


async def revoke_device(
    conn: Connection, company_id: UUID, member_id: UUID, device_id: UUID, now: datetime
) -> bool:
    """Revoke the member's device; tell whether it was not revoked yet."""
    found = await conn.fetchval(
        """
        UPDATE device SET revoked_at = $4
         WHERE company_id = $1 AND member_id = $2 AND device_id = $3 AND revoked_at IS NULL
        RETURNING true
        """,
        company_id,
        member_id,
        device_id,
        now,
    )
    return bool(found)


async def revoke_devices(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> int:
    rows = await conn.fetch(
        """
        UPDATE device SET revoked_at = $3
         WHERE company_id = $1 AND member_id = $2 AND revoked_at IS NULL
        RETURNING 1
        """,
        company_id,
        member_id,
        now,
    )
    return len(rows)


async def insert_api_token(
    conn: Connection, company_id: UUID, token: ApiToken, token_hash: bytes
) -> None:
    await conn.execute(
        """
        INSERT INTO api_token (company_id, api_token_id, name, scopes, token_hash, created_at,
                               expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        company_id,
        token.api_token_id,
        token.name,
        _texts(token.scopes),
        token_hash,
        token.created_at,
        token.expires_at,
    )


async def api_token_names(
    conn: Connection, company_id: UUID, api_token_ids: Collection[UUID]
) -> dict[UUID, str]:
    rows = await conn.fetch(
        """
        SELECT api_token_id, name FROM api_token
         WHERE company_id = $1 AND api_token_id = ANY($2::uuid[])
        """,
        company_id,
        api_token_ids,
    )
    return {row["api_token_id"]: row["name"] for row in rows}


async def api_tokens(
    conn: Connection, company_id: UUID, *, after: UUID, limit: int
) -> list[ApiToken]:
    rows = await conn.fetch(
        """
        SELECT api_token_id, name, scopes, created_at, expires_at, revoked_at
          FROM api_token
         WHERE company_id = $1 AND api_token_id > $2
         ORDER BY api_token_id LIMIT $3
        """,
        company_id,
        after,
        limit,
    )
    return [
        ApiToken(**{**row, "scopes": tuple(Scope(scope) for scope in row["scopes"])})
        for row in rows
    ]


async def revoke_api_token(
    conn: Connection, company_id: UUID, api_token_id: UUID, now: datetime
) -> bool:
    """Revoke the token; tell whether it was not revoked yet."""
    found = await conn.fetchval(
        """
        UPDATE api_token SET revoked_at = $3
         WHERE company_id = $1 AND api_token_id = $2 AND revoked_at IS NULL
        RETURNING true
        """,
        company_id,
        api_token_id,
        now,
    )
    return bool(found)


def _device(row: Record) -> Device:
    return Device(**dict(row))


def _texts(scopes: Sequence[Scope]) -> list[str]:
    return [scope.value for scope in scopes]


async def share_member(conn: Connection, company_id: UUID, member_id: UUID) -> MemberState | None:
    """Return the member's state, which stays what it is until the transaction ends."""
    state = await conn.fetchval(
        "SELECT state FROM member WHERE company_id = $1 AND member_id = $2 FOR SHARE",
        company_id,
        member_id,
    )
    return None if state is None else MemberState(state)


async def lock_member(conn: Connection, company_id: UUID, member_id: UUID) -> MemberState | None:
    """Return the member's state; changes of one member queue here."""
    state = await conn.fetchval(
        "SELECT state FROM member WHERE company_id = $1 AND member_id = $2 FOR NO KEY UPDATE",
        company_id,
        member_id,
    )
    return None if state is None else MemberState(state)
