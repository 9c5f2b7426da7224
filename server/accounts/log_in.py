"""Logging in: passwords, how often one may try, and which company it is for.

What an unknown login costs and answers is what a known one with a wrong password does.
"""

import asyncio
import ipaddress
import secrets
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.accounts import credentials, service, store
from server.accounts.logins import canonical_login
from server.accounts.model import (
    Company,
    CompanyNeeded,
    InvitationNotUsable,
    LogInBusy,
    LoginFailed,
    Member,
    MemberState,
    Role,
    Session,
    TooManyAttempts,
    may_call,
)
from server.gate import service as gate
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.tokens import Token
from server.vault.service import Vault

WORKERS: Final = 2
WAITING_MAX: Final = 32
"""Log-ins in progress in one process; more are told to come again."""
VERIFICATIONS_MIN: Final = 2
"""Passwords looked at in every log-in, so that its time does not tell whether none, one or two
companies know the person."""
COMPANIES_MAX: Final = 8
PER_LOGIN: Final = RateLimitItemPerMinute(10, 5)
PER_ADDRESS: Final = RateLimitItemPerMinute(100, 5)
_NOBODY: Final = UUID(int=0)


class Passwords:
    """argon2id in threads of its own; how many at once is bounded."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="argon2")
        self._of_nobody = self._hasher.hash(secrets.token_urlsafe())
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Take part, unless too many wait already.

        Raises
        ------
        LogInBusy
        """
        if self._waiting >= WAITING_MAX:
            raise LogInBusy
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether it is the password; with no hash the same work, in vain."""
        loop = asyncio.get_running_loop()
        against = self._of_nobody if password_hash is None else password_hash
        return await loop.run_in_executor(self._threads, self._matches, against, password)

    def _matches(self, against: str, password: str) -> bool:
        try:
            return self._hasher.verify(against, password) and against is not self._of_nobody
        except VerifyMismatchError:
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Attempts:
    """How often one may try, per login and per address, in this process.

    A key is only made by an attempt that has a turn at the passwords, so their number is bounded
    by what argon2 lets through in one window.
    """

    def __init__(
        self, per_login: RateLimitItem = PER_LOGIN, per_address: RateLimitItem = PER_ADDRESS
    ) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_login = per_login
        self._per_address = per_address

    async def take(self, login_hash: bytes, address: str) -> None:
        """Count an attempt.

        Raises
        ------
        TooManyAttempts
        """
        for item, key in (
            (self._per_address, network_of(address)),
            (self._per_login, login_hash.hex()),
        ):
            if not await self._limiter.hit(item, key):
                window = await self._limiter.get_window_stats(item, key)
                raise TooManyAttempts(max(1.0, window.reset_time - time.time()))

    async def forgive(self, login_hash: bytes) -> None:
        """Forget a login's attempts: the right password came. The address's stay."""
        await self._limiter.clear(self._per_login, login_hash.hex())


def network_of(address: str) -> str:
    """Return what one attacker can be taken to own: an IPv4 address, or an IPv6 /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to log in."""

    login: str = field(repr=False)
    password: str = field(repr=False)
    company_id: UUID | None
    address: str = field(repr=False)


async def log_in(
    pool: Pool,
    vault: Vault,
    passwords: Passwords,
    attempts: Attempts,
    attempt: Attempt,
    *,
    lasts: timedelta,
    now: datetime,
) -> Session:
    """Open a session of the one member whose login and password these are.

    Opens its own transactions, one per company; none is open while argon2 runs.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, LogInBusy, TooManyAttempts, LoginFailed, CompanyNeeded
    """
    login_hash = vault.blind_index(*canonical_login(attempt.login))
    async with passwords.turn():
        await attempts.take(login_hash, attempt.address)
        found = [
            member
            for company_id in await _companies(pool, login_hash, attempt.company_id)
            if (member := await _proved(pool, passwords, company_id, login_hash, attempt.password))
        ]
    if not found:
        raise LoginFailed
    await attempts.forgive(login_hash)
    if len(found) > 1:
        raise CompanyNeeded([await _company(pool, one.company_id) for one in found])
    member = found[0]
    async with db.tenant(pool, member.company_id) as conn:
        return await credentials.open_session(
            conn, member.company_id, member.member_id, member.role, lasts=lasts, now=now
        )


async def accept_invitation(
    pool: Pool, passwords: Passwords, code: str, password: str, *, now: datetime
) -> Member:
    """Use an invitation up: the account has a password and is active from now on.

    Opens its own transactions; none is open while argon2 runs.

    Raises
    ------
    InvitationNotUsable, LogInBusy
    """
    token = tokens.parse(code)
    if token is None or token.kind != service.INVITATION_KIND:
        raise InvitationNotUsable
    async with db.tenant(pool, token.company_id, readonly=True) as conn:
        await _invited(conn, token, now)
    async with passwords.turn():
        password_hash = await passwords.hash(password)
    async with db.tenant(pool, token.company_id) as conn:
        return await _accept(conn, token, password_hash, now)


async def _accept(conn: Connection, token: Token, password_hash: str, now: datetime) -> Member:
    member = await _invited(conn, token, now)
    company_id, member_id = member.company_id, member.member_id
    if member.role is Role.DRIVER:
        # The gate first, as every act on a driver does: two orders would deadlock.
        await gate.set_account_active(conn, company_id, member_id, active=True)
    state = await store.lock_member(conn, company_id, member_id)
    used = await store.delete_invitation(conn, company_id, token.digest)
    if state is not MemberState.INVITED or not used:
        raise InvitationNotUsable
    await store.set_state(conn, company_id, member_id, MemberState.ACTIVE)
    await store.set_password(conn, company_id, member_id, password_hash)
    return member


async def _invited(conn: Connection, token: Token, now: datetime) -> Member:
    member_id = await store.invited_member(conn, token.company_id, token.digest, now)
    member = None if member_id is None else await store.member(conn, token.company_id, member_id)
    if member is None or member.state is not MemberState.INVITED:
        raise InvitationNotUsable
    return member


async def _companies(pool: Pool, login_hash: bytes, wanted: UUID | None) -> list[UUID]:
    async with pool.acquire() as conn:
        known = await store.companies_of_login(conn, login_hash, limit=COMPANIES_MAX)
    chosen = [one for one in known if wanted in (None, one)]
    return chosen + [_NOBODY] * (VERIFICATIONS_MIN - len(chosen))


async def _proved(
    pool: Pool, passwords: Passwords, company_id: UUID, login_hash: bytes, password: str
) -> Member | None:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        member = await store.member_of_login(conn, company_id, login_hash)
    right = await passwords.verify(password, None if member is None else member.password_hash)
    return member if member is not None and right and may_call(member.role, member.state) else None


async def _company(pool: Pool, company_id: UUID) -> Company:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        return await service.company(conn, company_id)
