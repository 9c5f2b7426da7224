"""The staff's second factor: setting it up, asking for it, taking it away."""

from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.second_factor import model, store
from server.second_factor.model import (
    FREE_FAILURES,
    CodeWrong,
    Factor,
    Judgement,
    OwnSecondFactorFirst,
    SecondFactorConfirmed,
    SecondFactorMissing,
    Verdict,
)
from server.vault.model import Category, SealedText
from server.vault.service import Vault

SECRET_SCHEMA: Final = "second_factor.secret"  # noqa: S105 - a column, no secret

status = store.status
is_required = store.is_required


async def begin(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID, *, now: datetime
) -> bytes:
    """Return a new secret, shown once; it counts from its confirmation on.

    Raises
    ------
    SecondFactorConfirmed
    """
    secret = model.new_secret()
    sealed = await vault.seal_text(
        company_id,
        member_id,
        Category.IDENTITY,
        model.written(secret),
        row_id=member_id,
        schema=SECRET_SCHEMA,
        now=now,
    )
    if not await store.begin(conn, company_id, member_id, secret_sealed=sealed, now=now):
        raise SecondFactorConfirmed
    return secret


async def confirm(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    code: str,
    *,
    by: Actor,
    now: datetime,
) -> tuple[str, ...]:
    """Let the second factor count from now on; return the recovery codes, shown once.

    The last thing its transaction does.

    Raises
    ------
    SecondFactorMissing, SecondFactorConfirmed, CodeWrong
    """
    factor = await store.factor(conn, company_id, member_id)
    if factor is None:
        raise SecondFactorMissing
    if factor.confirmed_at is not None:
        raise SecondFactorConfirmed
    step = await _step(vault, company_id, member_id, factor, model.plain(code), now)
    if step is None or not await store.confirm(
        conn, company_id, member_id, begun_at=factor.begun_at, step=step, now=now
    ):
        raise CodeWrong
    codes = await _new_recovery_codes(conn, company_id, member_id, now)
    at = {"set_at": rfc3339(now)}
    await notices.queue(conn, company_id, member_id, NoticeKind.SECOND_FACTOR_SET, at, now=now)
    await ledger.append(
        conn, company_id, Act.SECOND_FACTOR_SET, actor=by, subject_id=member_id, now=now
    )
    return codes


async def new_recovery_codes(
    conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime
) -> tuple[str, ...]:
    """Return new recovery codes, shown once; those from before stop working.

    Raises
    ------
    SecondFactorMissing
    """
    factor = await store.lock(conn, company_id, member_id)
    if factor is None or factor.confirmed_at is None:
        raise SecondFactorMissing
    return await _new_recovery_codes(conn, company_id, member_id, now)


async def remove(
    conn: Connection, company_id: UUID, member_id: UUID, *, by: Actor, now: datetime
) -> None:
    """Take the member's second factor away, and tell them. The last thing its transaction does.

    Raises
    ------
    SecondFactorMissing
    """
    if not await store.delete(conn, company_id, member_id):
        raise SecondFactorMissing
    told = {"by_role": by.kind.value, "removed_at": rfc3339(now)}
    await notices.queue(
        conn, company_id, member_id, NoticeKind.SECOND_FACTOR_REMOVED, told, now=now
    )
    await ledger.append(
        conn, company_id, Act.SECOND_FACTOR_REMOVED, actor=by, subject_id=member_id, now=now
    )


async def require(
    conn: Connection, company_id: UUID, member_id: UUID, *, required: bool, by: Actor, now: datetime
) -> None:
    """Say whether the staff must have a second factor. The last thing its transaction does.

    Raises
    ------
    OwnSecondFactorFirst
        Who asks it of the others has none.
    """
    own = await store.factor(conn, company_id, member_id)
    if required and (own is None or own.confirmed_at is None):
        raise OwnSecondFactorFirst
    if await store.set_required(conn, company_id, required=required):
        await ledger.append(
            conn,
            company_id,
            Act.SECOND_FACTOR_REQUIRED_SET,
            actor=by,
            subject_id=None,
            facts={"required": required},
            now=now,
        )


async def judge(
    pool: Pool, vault: Vault, company_id: UUID, member_id: UUID, code: str | None, *, now: datetime
) -> Judgement:
    """Tell what the code is worth to a member whose password was right.

    Nothing is used up yet, but wrong codes are counted, one after another: many at once are not
    one. Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        factor = await store.factor(conn, company_id, member_id)
    if factor is None or factor.confirmed_at is None:
        return Judgement(verdict=Verdict.NOT_NEEDED)
    if code is None:
        return Judgement(verdict=Verdict.NEEDED)
    plain = model.plain(code)
    step = await _step(vault, company_id, member_id, factor, plain, now)
    digest = None if model.is_app_code(plain) else model.recovery_hash(plain)
    async with db.tenant(pool, company_id) as conn:
        locked = await store.lock(conn, company_id, member_id)
        if locked is None or locked.begun_at != factor.begun_at:  # taken away, or set up anew
            return Judgement(verdict=Verdict.WRONG)
        if (wait_s := locked.wait_s(now)) > 0:
            return Judgement(verdict=Verdict.WAIT, wait_s=wait_s)
        if step is not None and not locked.takes(step):
            step = None
        if digest and not await store.has_recovery_code(conn, company_id, member_id, digest):
            digest = None
        if step is None and digest is None:
            await _count_failure(conn, company_id, member_id, now)
            return Judgement(verdict=Verdict.WRONG)
    return Judgement(verdict=Verdict.RIGHT, step=step, recovery_hash=digest)


async def _count_failure(
    conn: Connection, company_id: UUID, member_id: UUID, now: datetime
) -> None:
    if await store.count_failure(conn, company_id, member_id, now) == FREE_FAILURES:
        at = {"guessed_at": rfc3339(now)}
        await notices.queue(conn, company_id, member_id, NoticeKind.CODES_GUESSED, at, now=now)


async def was_for_another(pool: Pool, company_id: UUID, member_id: UUID) -> None:
    """Take back that a wrong code was counted: it was right at another company of the person."""
    async with db.tenant(pool, company_id) as conn:
        await store.take_back_failure(conn, company_id, member_id)


async def use(conn: Connection, company_id: UUID, member_id: UUID, judged: Judgement) -> bool:
    """Use the right code up, in the transaction of what it was asked for.

    False: somebody else was faster with the same one.
    """
    if judged.step is not None:
        return await store.use_step(conn, company_id, member_id, judged.step)
    if judged.recovery_hash is None:
        return judged.verdict is Verdict.NOT_NEEDED
    used = await store.use_recovery_code(conn, company_id, member_id, judged.recovery_hash)
    if used:
        await store.forgive(conn, company_id, member_id)
    return used


async def _step(
    vault: Vault, company_id: UUID, member_id: UUID, factor: Factor, code: str, now: datetime
) -> int | None:
    if not model.is_app_code(code):
        return None
    item = SealedText(sealed=factor.secret_sealed, row_id=member_id, schema=SECRET_SCHEMA)
    [opened] = await vault.open_texts(company_id, [item])
    return None if opened is None else model.step_of(model.read(opened), code, now)


async def _new_recovery_codes(
    conn: Connection, company_id: UUID, member_id: UUID, now: datetime
) -> tuple[str, ...]:
    codes = model.new_recovery_codes()
    hashes = [model.recovery_hash(code) for code in codes]
    await store.delete_recovery_codes(conn, company_id, member_id)
    await store.insert_recovery_codes(conn, company_id, member_id, hashes, now)
    return codes
