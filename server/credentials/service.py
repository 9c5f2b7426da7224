"""What a caller proves who they are with: sessions, devices, API tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server.credentials import session_store, store
from server.credentials.model import (
    DEVICE_NUMBER_MAX,
    STEP_UP_LASTS,
    ApiToken,
    ApiTokenExpiryPast,
    ApiTokenMissing,
    Caller,
    Device,
    DeviceMissing,
    DeviceNumbersUsedUp,
    Kind,
    MemberMissing,
    MemberState,
    MemberStateRefused,
    NotAuthenticated,
    NotPermitted,
    OpenSession,
    Role,
    Scope,
    Session,
    SessionMissing,
    may_call,
)
from server.gate import service as gate
from server.kit import tokens
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.tokens import Token
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.vault.model import Category, SealedText
from server.vault.service import Vault

DEVICE_NAME_SCHEMA = "device.name"


async def caller_of_token(conn: Connection, token: Token, *, now: datetime) -> Caller | None:
    """Return who presents the token; None when it is unknown, expired or revoked.

    A token of no known kind costs the same look-up as a session's.
    """
    match token.kind:
        case Kind.DEVICE:
            look_up = store.device_caller
        case Kind.API:
            look_up = store.api_token_caller
        case _:
            look_up = session_store.session_caller
    found = await look_up(conn, token.company_id, token.digest)
    if found is None or token.kind not in tuple(Kind) or not found.holds(now):
        return None
    return found.caller


async def callers_of_screens(
    conn: Connection, company_id: UUID, digests: Collection[bytes], *, now: datetime
) -> dict[bytes, Caller]:
    """Return who is behind those sessions and API tokens that still hold, by digest."""
    found = await store.credentials_of_screens(conn, company_id, digests)
    return {
        digest: one.caller
        for digest, one in found.items()
        if one.holds(now) and not one.caller.must_enrol
    }


async def open_session(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    role: Role,
    *,
    lasts: timedelta,
    now: datetime,
) -> Session:
    """Log the member in; their sessions that have ended go.

    Raises
    ------
    NotPermitted
        The account is blocked, or is gone.
    """
    if not may_call(role, await store.share_member(conn, company_id, member_id)):
        raise NotPermitted
    await session_store.delete_sessions(conn, company_id, member_id, ended_by=now)
    token, digest = tokens.mint(Kind.SESSION, company_id)
    session = Session(
        company_id=company_id, member_id=member_id, token=token, expires_at=now + lasts
    )
    await session_store.insert_session(conn, session, digest, now)
    return session


async def locked_state(conn: Connection, company_id: UUID, member_id: UUID) -> MemberState:
    """Return what the member's account is; it stays so until the transaction ends.

    Raises
    ------
    MemberMissing
    """
    return there(await store.lock_member(conn, company_id, member_id), MemberMissing)


async def end_sessions_and_devices(
    conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime
) -> int:
    """Log the member out everywhere and revoke their devices; return how many ended."""
    await gate.bump_credentials(conn, company_id, member_id)
    sessions = await session_store.delete_sessions(conn, company_id, member_id)
    return sessions + await store.revoke_devices(conn, company_id, member_id, now)


async def session_ends(conn: Connection, company_id: UUID, digest: bytes) -> datetime | None:
    return await session_store.session_ends(conn, company_id, digest)


note_use = session_store.note_use


async def step_up(conn: Connection, company_id: UUID, digest: bytes, *, now: datetime) -> datetime:
    """Let the session count as proven anew; return until when.

    Raises
    ------
    NotAuthenticated
        The session ended meanwhile.
    """
    until = now + STEP_UP_LASTS
    if not await session_store.step_up(conn, company_id, digest, until=until, now=now):
        raise NotAuthenticated
    return until


async def close_session(conn: Connection, company_id: UUID, digest: bytes) -> None:
    """Log out: the token stops working."""
    await session_store.delete_session(conn, company_id, digest)


async def open_sessions(
    conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime
) -> list[OpenSession]:
    """Return the member's log-ins that are open, the newest first."""
    return await session_store.open_sessions(conn, company_id, member_id, now)


async def end_session(
    conn: Connection, company_id: UUID, member_id: UUID, session_id: UUID, *, now: datetime
) -> None:
    """End one of the member's log-ins.

    Raises
    ------
    SessionMissing
    """
    for one in await session_store.open_sessions(conn, company_id, member_id, now):
        if one.session_id == session_id:
            await session_store.delete_session(conn, company_id, one.digest)
            return
    raise SessionMissing


async def end_other_sessions(
    conn: Connection, company_id: UUID, member_id: UUID, kept: bytes
) -> int:
    """End all of the member's log-ins but the one with this digest; return how many."""
    return await session_store.delete_other_sessions(conn, company_id, member_id, kept)


async def end_sessions_of(
    conn: Connection, company_id: UUID, member_id: UUID, *, by: Actor, now: datetime
) -> int:
    """Log another member out everywhere; return how many log-ins ended.

    The last thing its transaction does.

    Raises
    ------
    MemberMissing
    """
    await locked_state(conn, company_id, member_id)
    ended = await session_store.delete_sessions(conn, company_id, member_id)
    await ledger.append(
        conn,
        company_id,
        Act.SESSIONS_ENDED,
        actor=by,
        subject_id=member_id,
        facts={"ended": ended},
        now=now,
    )
    return ended


async def add_device(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    name: str,
    now: datetime,
) -> tuple[Device, str]:
    """Register a phone app of an active driver; return it and its token, shown once.

    Raises
    ------
    MemberMissing, MemberStateRefused, DeviceNumbersUsedUp
    """
    device_id = uuid7()
    sealed = await vault.seal_text(
        company_id,
        member_id,
        Category.IDENTITY,
        name,
        row_id=device_id,
        schema=DEVICE_NAME_SCHEMA,
        now=now,
    )
    # Two additions of one member queue here, so that each gets a number of its own.
    state = await locked_state(conn, company_id, member_id)
    if state is not MemberState.ACTIVE:
        raise MemberStateRefused(state, MemberState.ACTIVE)
    number = await store.next_device_number(conn, company_id, member_id)
    if number > DEVICE_NUMBER_MAX:
        raise DeviceNumbersUsedUp
    token, digest = tokens.mint(Kind.DEVICE, company_id)
    device = Device(
        company_id=company_id,
        device_id=device_id,
        member_id=member_id,
        number=number,
        name_sealed=sealed,
        created_at=now,
        revoked_at=None,
    )
    await store.insert_device(conn, device, digest)
    return device, token


async def devices(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID
) -> list[tuple[Device, str]]:
    """Return the member's devices, revoked ones too, each with its name."""
    found = await store.devices(conn, company_id, member_id)
    texts = [
        SealedText(sealed=one.name_sealed, row_id=one.device_id, schema=DEVICE_NAME_SCHEMA)
        for one in found
    ]
    opened = await vault.open_texts(company_id, texts)
    return [(one, name or "") for one, name in zip(found, opened, strict=True)]


async def device(
    conn: Connection, company_id: UUID, member_id: UUID, device_id: UUID
) -> Device | None:
    """Return one device of the member, also a revoked one."""
    return await store.device(conn, company_id, member_id, device_id)


async def devices_of_tokens(
    conn: Connection, company_id: UUID, digests: Sequence[bytes]
) -> dict[bytes, Device]:
    """Return by the token's digest which device has it, also a revoked one."""
    return await store.devices_of_tokens(conn, company_id, digests)


async def revoke_device(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    device_id: UUID,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Make the device's token stop working everywhere. Again is the same as once.

    Raises
    ------
    DeviceMissing
    """
    # The gate before the device, as in every act on a driver: two orders would deadlock.
    await gate.bump_credentials(conn, company_id, member_id)
    there(await store.device(conn, company_id, member_id, device_id), DeviceMissing)
    if await store.revoke_device(conn, company_id, member_id, device_id, now):
        await ledger.append(
            conn,
            company_id,
            Act.DEVICE_REVOKED,
            actor=by,
            subject_id=member_id,
            facts={"device_id": str(device_id)},
            now=now,
        )


async def add_api_token(
    conn: Connection,
    company_id: UUID,
    *,
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime | None,
    now: datetime,
) -> tuple[ApiToken, str]:
    """Make a token for an integration; return it and its text, shown once.

    Raises
    ------
    ApiTokenExpiryPast
    """
    if expires_at is not None and expires_at <= now:
        raise ApiTokenExpiryPast
    text, digest = tokens.mint(Kind.API, company_id)
    token = ApiToken(
        api_token_id=uuid7(),
        name=name,
        scopes=tuple(sorted(set(scopes))),
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
    )
    await store.insert_api_token(conn, company_id, token, digest)
    return token, text


async def api_tokens(
    conn: Connection, company_id: UUID, *, cursor: str | None, limit: int
) -> tuple[list[ApiToken], str | None]:
    """Return a page of the API tokens, and the cursor of the next.

    Raises
    ------
    CursorInvalid
    """
    found = await store.api_tokens(conn, company_id, after=place_of(cursor), limit=limit + 1)
    return page_of(found, limit, lambda one: cursor_of(one.api_token_id))


async def api_token_names(
    conn: Connection, company_id: UUID, api_token_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return what the integrations are called, revoked ones too."""
    return await store.api_token_names(conn, company_id, api_token_ids)


async def revoke_api_token(
    conn: Connection, company_id: UUID, api_token_id: UUID, *, by: Actor, now: datetime
) -> None:
    """Make the token stop working. Again is the same as once.

    Raises
    ------
    ApiTokenMissing
    """
    if not await store.api_token_names(conn, company_id, [api_token_id]):
        raise ApiTokenMissing
    if await store.revoke_api_token(conn, company_id, api_token_id, now):
        await ledger.append(
            conn,
            company_id,
            Act.API_TOKEN_REVOKED,
            actor=by,
            subject_id=None,
            facts={"api_token_id": str(api_token_id)},
            now=now,
        )


end_every_session = session_store.delete_every_session
end_reset_codes = session_store.end_reset_codes
