"""What a driver's working life leaves behind, table by table."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Locale
from server.attestations import service as attestations
from server.attestations.model import How, Told
from server.clarifications import service as clarifications
from server.clarifications.model import Question
from server.controllers import service as controllers
from server.controllers import store as controllers_store
from server.controllers.model import NewController
from server.corrections import contacts
from server.corrections import service as corrections
from server.corrections import store as corrections_store
from server.corrections.model import Author, Source, Wanted
from server.devices import service as devices
from server.devices.model import Permission
from server.gate import service as gate
from server.gate import store as gate_store
from server.guardians import service as guardians
from server.guardians.model import Agreed, GuardianAgreement, Relation
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.links import service as links
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import service as notices
from server.person_requests import service as person_requests
from server.person_requests.model import CameBy, NewRequest
from server.person_requests.model import Kind as RequestKind
from server.policies import service as policies
from server.policies.model import NOTICE_PERIOD, Acceptance, Document, sha256_of
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.reports import service as reports
from server.reports import store as report_store
from server.reports.model import SealedReport
from server.rights.service import tell_of_alert
from server.routes import service as routes
from server.routes.model import NewRoute, Stop
from server.vault.model import Category, SealedText
from tests.delivery.stage import deliverer_over
from tests.world import CONSENTED, NOW, World, add_member

QUESTION: Final = "Who at my daughter's school sees where I park?"
GUARDIAN: Final = "Marzhan Qamqorshina"
PAPER: Final = "Her letter in the red binder"
ANSWER: Final = "Nobody there does, and nobody at your clinic."
TRACK: Final = "43.2389490,76.8897090"
"""What the sealed chunk holds."""


async def main_user(world: World) -> UUID:
    """Return the company's only main user; make one if there is none."""
    found: UUID | None = await world.owner.fetchval(
        "SELECT member_id FROM member WHERE company_id = $1 AND role = 'main_user'",
        world.company_id,
    )
    return found or await add_member(
        world.vault, world.pool, world.company_id, role="main_user", name="Boss"
    )


async def attest_and_dispute(world: World, driver_id: UUID) -> None:
    """Let staff attest that the driver was told, and the driver dispute it: both are told."""
    company_id = world.company_id
    boss = await main_user(world)
    told = Told(
        at=CONSENTED - timedelta(hours=1),
        how=How.IN_PERSON,
        editions=((Document.DRIVER_NOTICE, 1),),
    )
    by = Actor(kind=ActorKind.MAIN_USER, member_id=boss)
    async with db.tenant(world.pool, company_id) as conn:
        await attestations.attest(
            conn, company_id, driver_id, told, by=by, by_member=boss, now=CONSENTED
        )
    async with gate.stopping(world.pool, company_id, driver_id, now=CONSENTED) as conn:
        await attestations.dispute(conn, company_id, driver_id, now=CONSENTED)


async def correct(world: World, driver_id: UUID, *, email: str) -> tuple[SealedText, ...]:
    """Let staff correct the driver's name and the driver correct it back, and ask for an e-mail.

    Return what holds the name or the e-mail. The driver also deleted a span of their track.
    """
    company_id, boss = world.company_id, await main_user(world)
    me = Author(source=Source.SELF, member_id=driver_id)
    way = {Channel.EMAIL}
    async with db.tenant(world.pool, company_id) as conn:
        name = (await accounts.names(conn, world.vault, company_id, [driver_id]))[driver_id]
        to = (conn, world.vault, company_id, driver_id)
        wrong = Wanted(name="Mistyped")
        await corrections.correct_driver(*to, wrong, by_member=boss, ways_out=way, now=CONSENTED)
        back = Wanted(name=name, email=f"new.{email}")
        await corrections.correct(*to, back, author=me, ways_out=way, now=CONSENTED)
        first, second = await corrections_store.corrections(conn, company_id, driver_id, limit=2)
        (waiting,) = await corrections_store.waiting(conn, company_id, driver_id)
    await world.owner.execute(
        "INSERT INTO deleted_span (company_id, driver_id, deletion_id, since, until, asked_at,"
        " positions) VALUES ($1, $2, $3, $4, $5, $5, 1)",
        company_id,
        driver_id,
        uuid7(),
        CONSENTED - timedelta(hours=1),
        CONSENTED,
    )
    asked = NewRequest(
        driver_id=driver_id,
        kind=RequestKind.COMPLAINT,
        came_by=CameBy.LETTER,
        received_at=CONSENTED,
        said=f"{name} complains",
    )
    by = Actor(kind=ActorKind.MAIN_USER, member_id=boss)
    await person_requests.record(world.pool, world.vault, company_id, asked, by=by, now=CONSENTED)
    said = await world.owner.fetchrow(
        "SELECT person_request_id, said_sealed FROM person_request WHERE driver_id = $1", driver_id
    )
    assert said is not None
    assert first.before_sealed is not None
    return (
        SealedText(
            sealed=first.before_sealed,
            row_id=first.correction_id,
            schema=corrections.BEFORE_SCHEMA,
        ),
        SealedText(
            sealed=second.after_sealed,
            row_id=second.correction_id,
            schema=corrections.AFTER_SCHEMA,
        ),
        contacts.contact_of(waiting),
        SealedText(
            sealed=said["said_sealed"],
            row_id=said["person_request_id"],
            schema=person_requests.SAID_SCHEMA,
        ),
    )


async def entrust(world: World, driver_id: UUID) -> tuple[SealedText, SealedText]:
    """Say that the driver may be a minor and that a guardian agreed; return the guardian's texts.

    After the driver's own consents: a year that is stated this way voids none.
    """
    key, boss = (world.company_id, driver_id), await main_user(world)
    by = Actor(kind=ActorKind.MAIN_USER, member_id=boss)
    year = await guardians.seal_birth_year(world.vault, *key, NOW.year - 18, now=NOW)
    agreement = GuardianAgreement(
        guardian_name=GUARDIAN,
        relation=Relation.PARENT,
        how=Agreed.IN_WRITING,
        told_at=CONSENTED,
        document_reference=PAPER,
    )
    new = await guardians.seal_agreement(world.vault, *key, agreement, now=NOW)
    async with db.tenant(world.pool, world.company_id) as conn:
        await guardians.state_birth_year(conn, *key, year, by=by, by_member=boss, now=NOW)
        await guardians.record(conn, *key, new, year.age, by=by, by_member=boss, now=NOW)
    assert new.document_sealed is not None
    row_id = new.guardian_id
    return (
        SealedText(sealed=new.name_sealed, row_id=row_id, schema=guardians.NAME_SCHEMA),
        SealedText(sealed=new.document_sealed, row_id=row_id, schema=guardians.DOCUMENT_SCHEMA),
    )


async def clarify(world: World, driver_id: UUID) -> tuple[SealedText, SealedText]:
    """Let the driver ask about a policy and staff answer; return both texts as they are kept."""
    company_id, boss = world.company_id, await main_user(world)
    question = Question(
        document=Document.DRIVER_NOTICE, edition=1, language=Locale.KK, text=QUESTION
    )
    async with db.tenant(world.pool, company_id) as conn:
        asked = await clarifications.ask(
            conn,
            world.vault,
            company_id,
            question,
            by=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
            by_member=driver_id,
            now=CONSENTED,
        )
        answered = await clarifications.answer(
            conn,
            world.vault,
            company_id,
            asked.clarification.clarification_id,
            ANSWER,
            by=Actor(kind=ActorKind.MAIN_USER, member_id=boss),
            by_member=boss,
            now=CONSENTED,
        )
    kept = answered.clarification
    assert kept.answer_sealed is not None
    row_id = kept.clarification_id
    return (
        SealedText(
            sealed=kept.question_sealed, row_id=row_id, schema=clarifications.QUESTION_SCHEMA
        ),
        SealedText(sealed=kept.answer_sealed, row_id=row_id, schema=clarifications.ANSWER_SCHEMA),
    )


async def track(world: World, driver_id: UUID) -> tuple[UUID, bytes]:
    """Store a chunk; return its id and what is sealed in it."""
    upload_id = uuid7()
    key = await world.vault.key(world.company_id, driver_id, Category.TRACK, at=NOW)
    blob = key.seal(TRACK.encode(), row_id=upload_id.bytes, schema="chunk")
    await world.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at, count,"
        " key_id, blob) VALUES ($1, $2, $3, $4, $3, $3, 1, $5, $6)",
        world.company_id,
        driver_id,
        NOW,
        upload_id,
        key.key_id,
        blob,
    )
    return upload_id, blob


async def deliver(world: World, driver_id: UUID) -> None:
    """Drive a route that a customer may follow, and be looked at."""
    company_id = world.company_id
    boss = await add_member(world.vault, world.pool, company_id, role="dispatcher")
    by = Actor(kind=ActorKind.DISPATCHER, member_id=boss)
    stop = Stop(
        stop_id=uuid7(),
        name="Depot",
        lat=51.0,
        lon=71.0,
        radius_m=50.0,
        service_s=0.0,
        planned_arrival=None,
        window_start=None,
        window_end=None,
    )
    new = NewRoute(
        name="Round",
        day=NOW.date(),
        driver_id=driver_id,
        vehicle_id=None,
        planned_start=NOW,
        stops=[stop, stop],
        line=None,
    )
    draft = await routes.drafted(new)
    async with db.tenant(world.pool, company_id) as conn:
        route = await routes.create(conn, world.vault, company_id, draft, now=NOW)
        await links.create(
            conn,
            world.vault,
            company_id,
            route.head.route_id,
            stop.stop_id,
            expires_at=None,
            by=by,
            now=NOW,
        )
    reads = Reads(world.pool, tell_of_alert)
    for viewer in (by, Actor(kind=ActorKind.DRIVER, member_id=driver_id)):
        await reads.record(
            company_id, viewer, ReadPurpose.PLAN_FACT, Screen.TRACK, [driver_id], NOW
        )
    await reads.close()


async def report(world: World, driver_id: UUID) -> SealedText:
    """Store the final report of the driver's route; return what is sealed in it."""
    route_id: UUID = await world.owner.fetchval(
        "SELECT route_id FROM route WHERE driver_id = $1", driver_id
    )
    key = await world.vault.key(world.company_id, driver_id, Category.REPORT, at=NOW)
    sealed = key.seal(TRACK.encode(), row_id=route_id.bytes, schema=reports.REPORT_SCHEMA)
    async with db.tenant(world.pool, world.company_id) as conn:
        kept = SealedReport(
            route_id=route_id,
            driver_id=driver_id,
            plan_version=1,
            algorithm_version="1.0",
            computed_at=NOW,
            ends_at=NOW,
            since=NOW,
            sealed=sealed,
            sums_sealed=key.seal(b"{}", row_id=route_id.bytes, schema=reports.SUMS_SCHEMA),
        )
        read = await gate.read(conn, world.company_id, driver_id)
        assert await report_store.put(conn, world.company_id, kept, epoch=read.epoch, now=NOW)
    return SealedText(sealed=sealed, row_id=route_id, schema=reports.REPORT_SCHEMA)


async def leave_the_rest(world: World, driver_id: UUID, device_id: UUID) -> None:
    """Write what a smooth life leaves empty: a live position, refusals, an act that died."""
    company_id = world.company_id
    live = await world.vault.key(company_id, driver_id, Category.LIVE, at=NOW)
    await world.owner.execute(
        "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id, blob)"
        " VALUES ($1, $2, $3, $3, $4, 'sealed')",
        company_id,
        driver_id,
        NOW,
        live.key_id,
    )
    await count_refusal(world, driver_id)
    async with db.tenant(world.pool, company_id) as conn:
        await gate_store.insert_closing(conn, company_id, driver_id, uuid7(), NOW)
        await devices.set_permission(
            conn, company_id, driver_id, device_id, Permission.GRANTED, now=NOW
        )
        await notices.start_marketing(conn, company_id, driver_id, now=NOW)
        await policies.accept(
            conn,
            company_id,
            Acceptance(
                member_id=driver_id,
                document=Document.PRIVACY_NOTICE,
                edition=1,
                language=Locale.KK,
                sha256=sha256_of(policies.shipped(Document.PRIVACY_NOTICE)[Locale.KK]),
                accepted_at=NOW,
            ),
            actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        )
    await change_controller(world, driver_id)
    await deliverer_over(world, {}).deliver_due(company_id, NOW)
    await tell_the_main_user(world, driver_id)


async def change_controller(world: World, driver_id: UUID) -> None:
    """Let the driver agree to another controller, and leave what the job leaves of them."""
    company_id = world.company_id
    by = Actor(kind=ActorKind.MAIN_USER, member_id=await main_user(world))
    async with db.tenant(world.pool, company_id) as conn:
        change = await controllers_store.open_change(conn, company_id)
        if change is None:
            change = await controllers.announce(
                conn,
                company_id,
                NewController(name="Turan", bin="210987654321", privacy_contact="Turan"),
                effective_at=NOW + NOTICE_PERIOD,
                by=by,
                now=NOW,
            )
        await controllers.tell(conn, company_id, change, now=NOW)
        await controllers.agree(conn, company_id, driver_id, change.change_id, now=NOW)
        await controllers_store.insert_move(
            conn, company_id, driver_id, change, kept=[], lapsed=[], at=change.effective_at
        )


async def tell_the_main_user(world: World, driver_id: UUID) -> None:
    """Queue what names the driver to somebody else; its text is not written yet."""
    told = {"driver": str(driver_id), "disputed_at": NOW.isoformat()}
    reader, kind = await main_user(world), NoticeKind.ATTESTATION_DISPUTED
    async with db.tenant(world.pool, world.company_id) as conn:
        await notices.queue(conn, world.company_id, reader, kind, told, now=NOW)


async def count_refusal(world: World, driver_id: UUID) -> None:
    await world.owner.execute(
        "INSERT INTO refusal_count (company_id, driver_id, day, reason, count)"
        " VALUES ($1, $2, $3, 'too_old', 1)",
        world.company_id,
        driver_id,
        NOW.date(),
    )
