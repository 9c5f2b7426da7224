"""The password once more, of somebody who is logged in: a session alone proves too little."""

from uuid import UUID

from server.accounts import acts
from server.accounts import service as accounts
from server.credentials import service as credentials
from server.kit import db, errors
from server.kit.db import Connection, Pool
from server.log_in.attempts import Attempts
from server.log_in.passwords import Passwords


async def prove(
    pool: Pool,
    passwords: Passwords,
    attempts: Attempts,
    member: tuple[UUID, UUID],
    password: str,
    *,
    address: str,
) -> str | None:
    """Refuse a caller whose password it is not; return the hash that it was held against.

    Tries are counted with those to log in, or whoever has a session could guess more often.
    ``member``: the company's id and the member's. No transaction is open while argon2 runs.

    Raises
    ------
    PasswordWrong, TooManyAttempts, LogInBusy
    """
    company_id, member_id = member
    async with db.tenant(pool, company_id, readonly=True) as conn:
        hashes = await accounts.login_hashes(conn, company_id, member_id)
    counted = hashes[0] if hashes else member_id.bytes
    async with passwords.turn():
        await attempts.take(company_id, counted, address)
        async with db.tenant(pool, company_id, readonly=True) as conn:
            known = await acts.password_hash(conn, company_id, member_id)
        if not await passwords.verify(password, known):
            raise PasswordWrong
    attempts.forgive(company_id, counted)
    return known


async def refuse_if_changed(
    conn: Connection, company_id: UUID, member_id: UUID, proven: str | None
) -> None:
    """Refuse who proved a password that is no longer the account's; it stays from then on.

    Raises
    ------
    PasswordWrong
    """
    await credentials.locked_state(conn, company_id, member_id)
    if await acts.password_hash(conn, company_id, member_id) != proven:
        raise PasswordWrong


class PasswordWrong(errors.Refused):
    slug = "password-wrong"
    title = "This is not your password"
