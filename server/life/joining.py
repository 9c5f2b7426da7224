"""Accepting an invitation: the account gets a password, and is opened if it had never been."""

from datetime import datetime

from server.accounts import acts
from server.accounts import service as accounts
from server.accounts.model import InvitationNotUsable, Member
from server.credentials.model import MemberMissing, MemberState, Role
from server.erasure import service as erasure
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.tokens import Token
from server.log_in.passwords import Passwords
from server.passwords import service as passwords
from server.vault.service import Vault


async def join(
    pool: Pool, vault: Vault, hasher: Passwords, code: str, password: str, *, now: datetime
) -> Member:
    """Use an invitation up: the account has a password and, if it was invited, is active.

    Opens its own transactions; none is open while argon2 runs.

    Raises
    ------
    InvitationNotUsable, PasswordTooCommon, LogInBusy
    ErasureUnderWay
        It would open an account whose erasure is asked for. The code stays as it is.
    """
    token = tokens.parse(code)
    if token is None or token.kind != acts.INVITATION_KIND:
        raise InvitationNotUsable
    company_id = token.company_id
    async with db.tenant(pool, company_id, readonly=True) as conn:
        member = await acts.invited(conn, token, now=now)
    password_hash = await passwords.hashed(
        pool, vault, hasher, company_id, member.member_id, password
    )
    try:
        async with db.tenant(pool, company_id) as conn:
            await _refuse_while_erasure_is_asked(conn, token, member)
            return await acts.accept(conn, token, password_hash=password_hash, now=now)
    except (GateMissing, MemberMissing):  # erased since the code was looked at
        raise InvitationNotUsable from None


async def _refuse_while_erasure_is_asked(conn: Connection, code: Token, member: Member) -> None:
    """Let nobody open an account whose erasure is asked for, in their name by letter for one.

    Whoever had joined before only comes back to it: nothing is opened by that, and they may have
    to log in to call the erasure off, or to export.
    """
    company_id, member_id = code.company_id, member.member_id
    if member.role is not Role.DRIVER:
        return
    # Whoever asks for an erasure holds the gate too, so the two cannot pass each other.
    await gate.lock(conn, company_id, member_id)
    if await accounts.state_of(conn, company_id, member_id) is MemberState.INVITED:
        await erasure.refuse_under_way(conn, company_id, member_id)
