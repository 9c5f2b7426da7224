"""Choosing another password without the one of now: with a code that is sent to the person.

What an unknown login costs and answers is what a known one does: whoever asks is answered before
anybody is looked for, and whoever tells a code waits for the same work.
"""

import asyncio
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import acts
from server.accounts import service as accounts
from server.accounts.logins import canonical_login
from server.accounts.model import Member
from server.credentials import service as credentials
from server.credentials.model import MemberMissing, MemberState, Role, may_call
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.problem import where
from server.kit.tasks import ended
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.log_in.attempts import Attempts
from server.log_in.model import LogInBusy
from server.log_in.passwords import Passwords
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import elsewhere
from server.passwords import model, service, store
from server.passwords.model import (
    CODE_LASTS,
    CODE_TRIES_MAX,
    CODES_COUNTED,
    Reset,
    ResetCodeRefused,
)
from server.standing import service as standing
from server.vault.opening import renew_for_one
from server.vault.service import Vault

log = structlog.get_logger(__name__)

CODE_INDEX: Final = "password_code"
ASKED_INDEX: Final = "password_reset"
TOLD_INDEX: Final = "password_reset_told"
"""Under these the tries of one login are counted, apart from those to log in: whoever has codes
sent to a driver keeps them from asking, and not from their account."""
COMPANIES_MAX: Final = 8
LOOKED_AT_MIN: Final = 2
AT_ONCE_MAX: Final = 16
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a password is reset with."""

    pool: Pool
    vault: Vault
    passwords: Passwords
    attempts: Attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One try to choose another password with a code."""

    login: str = field(repr=False)
    code: str = field(repr=False)
    password: str = field(repr=False)
    address: str = field(repr=False)


class Sending:
    """Sends codes beside the answer: nobody learns by its time whether there is anybody."""

    def __init__(self, ground: Ground, ways_out: Collection[Channel]) -> None:
        self._ground = ground
        self._ways_out = ways_out
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, login: str, address: str, now: datetime) -> None:
        """Have a code sent to whoever has the login, at each company that knows it.

        Raises
        ------
        PhoneUnreadable, EmailUnreadable, TooManyAttempts, LogInBusy
        """
        kind, text = canonical_login(login)
        counted = self._ground.vault.blind_index(ASKED_INDEX, f"{kind}:{text}")
        if len(self._tasks) >= AT_ONCE_MAX:
            raise LogInBusy
        await self._ground.attempts.take(None, counted, address)
        task = asyncio.create_task(self._send(kind, text, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def sent(self) -> None:
        """Return once all that was begun is done."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        await ended(*self._tasks)

    async def _send(self, kind: str, text: str, now: datetime) -> None:
        try:
            found = await _members(self._ground, kind, text)
            for company_id, member in found:
                if member is not None:
                    async with db.tenant(self._ground.pool, company_id) as conn:
                        await send(
                            conn,
                            self._ground.vault,
                            company_id,
                            member.member_id,
                            login_kind=kind,
                            ways_out=self._ways_out,
                            now=now,
                        )
        except Exception as error:  # noqa: BLE001 - the answer has gone already
            log.warning("password_code_not_sent", **where(error))


async def send(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    login_kind: str = "email",
    ways_out: Collection[Channel],
    now: datetime,
) -> bool:
    """Send a member a code; tell whether one went.

    None goes to whoever has no password, lost their phone, or was sent one just now.

    Raises
    ------
    MemberMissing
    """
    state = await credentials.locked_state(conn, company_id, member_id)
    person = await accounts.profile(conn, vault, company_id, member_id)
    if not await _may_have_code(conn, company_id, member_id, person.role, state):
        return False
    counted = model.counted(await store.reset(conn, company_id, member_id), now)
    to = model.goes_to(person, login_kind, ways_out)
    if counted is None or to is None:
        return False
    reset_id, code, expires_at = uuid7(), model.new_code(), now + CODE_LASTS
    sent, first_at = counted
    new = Reset(
        reset_id=reset_id,
        code_hash=_index(vault, reset_id, code),
        asked_at=now,
        expires_at=expires_at,
        sent=sent,
        first_at=first_at,
    )
    await store.put(conn, company_id, member_id, new)
    await elsewhere.queue(
        conn,
        vault,
        company_id,
        member_id,
        NoticeKind.PASSWORD_CODE,
        {"expires_at": rfc3339(expires_at)},
        to=to,
        code=code,
        now=now,
    )
    return True


async def reset(ground: Ground, told: Told, *, now: datetime) -> UUID:
    """Write the new password of whoever was sent the code; return of which company they are.

    Every session ends, and the person is told. Opens its own transactions: a try counts before it
    is known whether it is right, and none is open while argon2 runs.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, TooManyAttempts, LogInBusy, PasswordTooCommon,
    ResetCodeRefused
    """
    kind, text = canonical_login(told.login)
    counted = ground.vault.blind_index(TOLD_INDEX, f"{kind}:{text}")
    async with ground.passwords.turn():
        await ground.attempts.take(None, counted, told.address)
        # Refused for itself before any code is looked at, and the same work for everybody.
        await ground.passwords.hash(told.password)
    for company_id, member in await _members(ground, kind, text):
        asked = await _tried(ground, company_id, member, told.code, now)
        if member is None or asked is None:
            continue
        password_hash = await service.hashed(
            ground.pool,
            ground.vault,
            ground.passwords,
            company_id,
            member.member_id,
            told.password,
        )
        async with db.tenant(ground.pool, company_id) as conn:
            await _write(conn, member, asked, password_hash, now=now)
        return company_id
    raise ResetCodeRefused


async def forget(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete what is known of codes a day after the first; return of how many. Due each day."""
    return await store.delete_before(conn, company_id, now - CODES_COUNTED)


async def _write(
    conn: Connection, member: Member, asked: Reset, password_hash: str, *, now: datetime
) -> None:
    company_id, member_id = member.company_id, member.member_id
    try:
        # A phone that is reported lost, or another code, meanwhile: one of both waits here.
        state = await credentials.locked_state(conn, company_id, member_id)
    except MemberMissing:
        raise ResetCodeRefused from None
    if not await _may_have_code(conn, company_id, member_id, member.role, state):
        raise ResetCodeRefused
    if not await store.use_up(conn, company_id, member_id, asked.reset_id):
        raise ResetCodeRefused
    by = Actor(kind=ActorKind(member.role.value), member_id=member_id)
    await service.change(
        conn, company_id, member_id, password_hash, keep=None, by=by, by_code=True, now=now
    )


async def _may_have_code(
    conn: Connection, company_id: UUID, member_id: UUID, role: Role, state: MemberState
) -> bool:
    if not may_call(role, state):
        return False
    known = await standing.standing(conn, company_id, member_id)
    return model.may_have_code(await acts.password_hash(conn, company_id, member_id), known)


async def _tried(
    ground: Ground, company_id: UUID, member: Member | None, code: str, now: datetime
) -> Reset | None:
    """Count a try of a code; return what it is of, if it is right."""
    member_id = _NOBODY if member is None else member.member_id
    async with db.tenant(ground.pool, company_id) as conn:
        asked = await store.take_try(conn, company_id, member_id, tries_max=CODE_TRIES_MAX, now=now)
    if asked is None or asked.code_hash is None:
        return None
    hashes = ground.vault.blind_indexes(CODE_INDEX, f"{asked.reset_id}:{code}")
    fits = any(hmac.compare_digest(asked.code_hash, one) for one in hashes)
    return asked if fits else None


async def _members(ground: Ground, kind: str, text: str) -> list[tuple[UUID, Member | None]]:
    """Return who has the login, with their companies; and nobody, so that it costs the same."""
    hashes = ground.vault.blind_indexes(kind, text)
    found = await _found(ground, hashes)
    if not any(member for _, member in found):
        # Another process may have made a pepper just now, and somebody joined under it.
        await renew_for_one(ground.vault)
        renewed = ground.vault.blind_indexes(kind, text)
        if renewed != hashes:
            found = await _found(ground, renewed)
    return found


async def _found(ground: Ground, hashes: Sequence[bytes]) -> list[tuple[UUID, Member | None]]:
    async with ground.pool.acquire() as conn:
        companies = await accounts.companies_of_login(
            conn, hashes, wanted=None, limit=COMPANIES_MAX
        )
    found = []
    for company_id in companies + [_NOBODY] * (LOOKED_AT_MIN - len(companies)):
        async with db.tenant(ground.pool, company_id, readonly=True) as conn:
            found.append((company_id, await accounts.member_of_login(conn, company_id, hashes)))
    return found


def _index(vault: Vault, reset_id: UUID, code: str) -> bytes:
    return vault.blind_index(CODE_INDEX, f"{reset_id}:{code}")
