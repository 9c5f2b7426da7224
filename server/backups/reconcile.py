"""After a backup was restored: nothing that was taken away since then comes back.

What a restored `main` cannot know stands in the key database: the journal of what was taken away,
and the tombstones of whoever was erased. Each step may be done twice, so this resumes wherever it
was broken off; until it has ended for every company, nothing is served.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.sealing import reindex
from server.attestations import service as attestations
from server.attestations.model import AttestationMissing
from server.backups import fence, keys_store, store
from server.backups.model import Behind, Done, Standing, counted
from server.consent import service as consent
from server.consent.acts import Who
from server.consent.model import ConsentActor
from server.credentials import service as credentials
from server.credentials.model import ApiTokenMissing, DeviceMissing, MemberState
from server.disclosures import service as disclosures
from server.erasure import restoring
from server.erasure.model import NotErased
from server.gate import service as gate
from server.gate.model import GateMissing
from server.guardians import service as guardians
from server.journal import service as journal
from server.journal.model import ENDS_CONSENTS, NegativeAct, Restoration
from server.journal.service import Journal
from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, ActorKind
from server.life import restoring as life
from server.links import service as links
from server.retention import restoring as keeping
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from server.track_deletion import service as track_deletion
from server.tracking import service as tracking
from server.vault.model import LedgerWitness
from server.vault.service import Vault
from server.winding_up import restoring as closing

Say = Callable[[str], None]
Failpoint = Callable[[str], None]

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
_NEVER: Final = datetime.fromtimestamp(0, UTC)
_SYSTEM: Final = Who(actor=ConsentActor.SYSTEM, ledger=OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a reconciliation works with."""

    dsn: str
    pool: Pool
    keys_pool: Pool
    vault: Vault
    say: Say
    failpoint: Failpoint = lambda _place: None
    """Is told each place where a crash could strike, and may raise."""

    def say_all(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            self.say(sentence)


async def reconcile(
    ground: Ground,
    companies: Sequence[UUID],
    *,
    now: datetime,
    dry_run: bool = False,
    every: bool = False,
    keys_until: datetime | None = None,
) -> int:
    """Take away again what a restored backup brought back; return for how many companies.

    ``companies`` are those of `main`. With ``dry_run`` only what would be done is told. With
    ``every`` all of them were restored, also where nothing else tells. ``keys_until`` says as of
    when the key database was restored, where nothing in it tells.

    Raises
    ------
    Behind
        A ledger is another one than the key database knows: that is no backup of it.
    """
    found = await fence.standings(ground.pool, ground.keys_pool, ground.vault, companies)
    for one in found:
        if one.is_other:
            raise Behind(one.refusal())
    gaps = [one.journal_until for one in found if one.journal_until is not None]
    if keys_until is not None:
        gaps.append(keys_until)
    journal_until = min(gaps, default=None)
    # A key database from before has no mark of who was younger than its backup.
    unheard = {
        one.company_id
        for one in found
        if one.is_there and ((gaps and one.known == 0) or keys_until is not None)
    }
    waiting = [
        one
        for one in found
        if one.needs_reconciling or (one.is_there and (every or one.company_id in unheard))
    ]
    if not dry_run:
        # Before the first has ended: after that nothing tells any more of a gap that theirs is too.
        for one in waiting:
            if one.company_id in unheard:
                await _begin(ground, one, journal_until=journal_until, now=now)
    for one in waiting:
        until = journal_until if one.company_id in unheard else one.journal_until
        if dry_run:
            pools = ground.pool, ground.keys_pool
            told = await fence.foretold(*pools, one, every=every, journal_until=until)
            ground.say_all(told)
        else:
            await _reconcile(ground, one, every=every, journal_until=until, now=now)
    if not waiting:
        ground.say("Both databases are of one moment: there is nothing to reconcile.")
    return len(waiting)


async def _reconcile(
    ground: Ground, one: Standing, *, every: bool, journal_until: datetime | None, now: datetime
) -> None:
    company_id = one.company_id
    for subject_id in one.undestroyed:
        # The key database is the one from before: whoever was erased must not have keys again.
        await ground.vault.destroy(company_id, subject_id, now)
    ground.failpoint("keys")
    if not (one.is_restored or every or journal_until is not None):
        people = counted(len(one.undestroyed), "person")
        ground.say(f"{company_id}: {people} lost their keys again.")
        return
    restored = await _begin(ground, one, journal_until=journal_until, now=now)
    ground.failpoint("begun")
    if not one.is_there:
        await journal.end_restoration(ground.keys_pool, company_id, restored, now)
        ground.say(f"{company_id}: made after the backup; nothing of it is left in main.")
        return
    await _go_on(ground, company_id, restored, now=now)
    ground.failpoint("resumed")
    lost = await journal.acts_between(
        ground.keys_pool,
        company_id,
        after=restored.restored_from,
        until=restored.known_until,
    )
    ended = await _void_credentials(ground, company_id, lost, now=now)
    async with db.tenant(ground.pool, company_id) as conn:
        cancelled = await disclosures.cancel_waiting(conn, company_id, by=OPERATOR, now=now)
    ground.failpoint("voided")
    async with db.tenant(ground.pool, company_id) as conn:
        shortened = await keeping.shorten_again(conn, company_id, lost, actor=OPERATOR, now=now)
    ground.failpoint("shortened")
    acts = {one.act for one in lost}
    said = await closing.close_again(ground.pool, company_id, acts, by=OPERATOR, now=now)
    ground.failpoint("closed")
    held = await restoring.hold_again(
        ground.pool, ground.keys_pool, company_id, lost, by=OPERATOR, now=now
    )
    ground.failpoint("held")
    await _stop_drivers(ground, company_id, lost, restored, now=now)
    ground.failpoint("stopped")
    await track_deletion.finish_due(ground.dsn, ground.pool, ground.vault, company_id, now)
    ground.failpoint("deleted")
    erased = await _erase(ground, company_id, lost, now=now)
    ground.failpoint("erased")
    waiting = await restoring.begin_anew(ground.pool, company_id, since=restored.begun_at, now=now)
    ground.failpoint("begun anew")
    indexed = await reindex(ground.pool, ground.vault, company_id)
    ground.failpoint("indexed")
    await _end(ground, company_id, restored, now=now)
    async with db.tenant(ground.pool, company_id, readonly=True) as conn:
        kept = await keeping.in_force(conn, company_id)
    done = Done(
        acts=len(lost),
        links=ended,
        disclosures=cancelled,
        held=held,
        waiting=waiting,
        erased=erased,
        indexed=indexed,
        shortened=shortened,
        kept=kept,
    )
    ground.say_all(f"{company_id}: {one}" for one in (*done.told(restored), *said))


async def _begin(
    ground: Ground, one: Standing, *, journal_until: datetime | None, now: datetime
) -> Restoration:
    return await journal.begin_restoration(
        ground.keys_pool,
        one.company_id,
        restored_from=one.head,
        known_until=one.known,
        journal_until=journal_until,
        now=now,
    )


async def _go_on(ground: Ground, company_id: UUID, restored: Restoration, *, now: datetime) -> None:
    """Write in the ledger that what was between is lost, and let it go on after that."""
    async with db.tenant(ground.pool, company_id) as conn:
        head = await ledger.head(conn, company_id)
        if head is not None and head.index < restored.resumes_at:
            # No proof of an entry reaches over the gap: whatever is there is signed now.
            await ledger.checkpoint(conn, ground.vault, company_id, now)
        if await ledger.leave_out(conn, company_id, until=restored.resumes_at):
            await ledger.append(
                conn,
                company_id,
                Act.RESTORED,
                actor=OPERATOR,
                subject_id=None,
                facts=restored.facts,
                now=now,
            )


async def _void_credentials(
    ground: Ground, company_id: UUID, lost: Sequence[NegativeAct], *, now: datetime
) -> int:
    """End what somebody proves themself with, or sees something by; return how many links.

    Of API tokens those that were revoked: each revocation is journalled. That a link ended because
    its driver arrived is not, so all of them end.
    """
    async with db.tenant(ground.pool, company_id) as conn:
        await credentials.end_every_session(conn, company_id)
        await credentials.end_reset_codes(conn, company_id, None)
        await accounts.end_every_invitation(conn, company_id)
        for one in lost:
            if one.act is Act.API_TOKEN_REVOKED and one.reference_id is not None:
                with suppress(ApiTokenMissing):  # made and revoked after the backup: there is none
                    await credentials.revoke_api_token(
                        conn, company_id, one.reference_id, by=OPERATOR, now=now
                    )
    ended = 0
    while True:
        async with db.tenant(ground.pool, company_id) as conn:
            found = await links.end_active(conn, company_id, by=OPERATOR, now=now)
        ended += found
        if not found:
            return ended
        ground.failpoint("links")


async def _stop_drivers(
    ground: Ground,
    company_id: UUID,
    lost: Sequence[NegativeAct],
    restored: Restoration,
    *,
    now: datetime,
) -> None:
    """Let nothing be recorded until each driver starts again, and take away what was."""
    async with db.tenant(ground.pool, company_id, readonly=True) as conn:
        about = await journal.by_member(conn, company_id, lost)
        states = await accounts.driver_states(conn, company_id)
    for driver_id, state in states.items():
        if state is MemberState.ERASING:
            continue
        with suppress(GateMissing):
            async with gate.stopping(ground.pool, company_id, driver_id, now=now) as conn:
                index = restored.restored_from
                seen = await store.seen_until(conn, company_id, driver_id, index=index)
                # Nobody knows until when the shift was on: what phones held back since then would
                # be taken as long as it could have been.
                await gate.close_window(conn, company_id, driver_id, at=seen or _NEVER)
                await shifts.end(conn, company_id, driver_id, by=ShiftEnd.OPERATOR, now=now)
                if restored.journal_until is not None:
                    # Whoever withdrew after that is not known any more: so it may be anybody.
                    await guardians.end_again(conn, company_id, driver_id, now=now)
                    await _ask_anew(conn, company_id, driver_id, now=now)
                await _take_away(conn, company_id, driver_id, about.get(driver_id, ()), now=now)
        ground.failpoint("driver")


async def _take_away(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    lost: Sequence[NegativeAct],
    *,
    now: datetime,
) -> None:
    acts = {one.act for one in lost}
    if Act.ATTESTATION_DISPUTED in acts:
        await _dispute_again(conn, company_id, driver_id, now=now)
    if Act.GUARDIAN_CONSENT_REVOKED in acts:
        await guardians.end_again(conn, company_id, driver_id, now=now)
    if acts & ENDS_CONSENTS:
        await _ask_anew(conn, company_id, driver_id, now=now)
    for one in lost:
        if one.act is Act.DEVICE_REVOKED and one.reference_id is not None:
            with suppress(DeviceMissing):
                await credentials.revoke_device(
                    conn, company_id, driver_id, one.reference_id, by=OPERATOR, now=now
                )
    await life.take_away(conn, company_id, driver_id, acts, now=now)
    await track_deletion.close_again(conn, company_id, driver_id, lost, by=OPERATOR, now=now)
    if Act.ERASURE_REQUESTED in acts:
        await restoring.ask_again(conn, company_id, driver_id, now=now)


async def _dispute_again(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Hide from the company again what it collected of a driver who had not been told."""
    try:
        await attestations.dispute(conn, company_id, driver_id, now=now)
    except AttestationMissing:
        # Attested after the backup. What it was collected on is lost; what was collected is not.
        await tracking.set_apart(conn, company_id, driver_id, now=now)


async def _ask_anew(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """Void every consent of the driver, and ask for each again."""
    ended = await consent.invalidate(conn, company_id, driver_id, who=_SYSTEM, now=now)
    if not (await gate.read(conn, company_id, driver_id)).account_active:
        return
    for one in ended:
        await consent.request(conn, company_id, driver_id, one.item, by=SYSTEM, now=now)


async def _erase(
    ground: Ground, company_id: UUID, lost: Sequence[NegativeAct], *, now: datetime
) -> int:
    """Erase everybody who was erased and is there again; return how many.

    Their keys are destroyed; or it was so near its end, when `main` was lost, that the ledger had
    said so before the keys were.
    """
    gone = set(await journal.destroyed(ground.keys_pool, company_id))
    async with db.tenant(ground.pool, company_id, readonly=True) as conn:
        states = await accounts.driver_states(conn, company_id)
        about = await journal.by_member(conn, company_id, lost)
    gone |= {driver_id for driver_id, acts in about.items() if journal.says_erased(acts)}
    again = [driver_id for driver_id in states if driver_id in gone]
    erased = 0
    for driver_id in again:
        try:
            await restoring.erase_again(ground.pool, ground.vault, company_id, driver_id, now=now)
            erased += 1
        except NotErased as error:
            # Their gate is closed and their erasing has begun: it holds up nobody else.
            ground.say(
                f"{company_id}: of somebody who was erased {error}. jolda serve goes on with that; "
                "if it does not end, its log names the tables (erasure_found_rows)."
            )
        ground.failpoint("person")
    return erased


async def _end(ground: Ground, company_id: UUID, restored: Restoration, *, now: datetime) -> None:
    """Let the key database follow, then let the company be served."""
    async with db.tenant(ground.pool, company_id) as conn:
        signed = await ledger.checkpoint(conn, ground.vault, company_id, now)
    async with db.tenant(ground.keys_pool, company_id, readonly=True) as keys:
        # A company that is younger than the backup of the keys has none, and so no witness.
        has_key = await keys_store.has_company_key(keys, company_id)
    if signed is not None and has_key:
        witness = LedgerWitness(index=signed.index, hash=signed.hash)
        await ground.vault.keep_witness(company_id, witness, now)
    await Journal(ground.pool, ground.keys_pool).copy(company_id, now)
    ground.failpoint("followed")
    await journal.end_restoration(ground.keys_pool, company_id, restored, now)
