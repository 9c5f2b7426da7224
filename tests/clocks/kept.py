"""How long what is kept: for each retention time a job that ends it, and nothing is told."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from server.corrections.model import CODES_COUNTED
from server.disclosures.model import KEPT as DISCLOSURES_KEPT
from server.exports.model import KEPT as EXPORTS_KEPT
from server.gate.service import CLOSING_S_MAX
from server.incidents.model import KEPT as INCIDENTS_KEPT
from server.kit.ids import uuid7
from server.links.model import KEPT as LINKS_KEPT
from server.reads.retention import READS_KEPT
from server.stop_events.model import KEPT as STOP_EVENTS_KEPT
from server.tracking.model import LATEST_KEPT_S
from server.vault.model import Category
from tests.clocks.walk import MOMENT, Row, Stage, Staged, Walk, asking
from tests.retention.rows import keep
from tests.retention.test_kinds import add_route, attach, register
from tests.world import NOW, World

LONG_AGO: Final = NOW - timedelta(days=800)
"""Reads go by the database's own clock as well, and by that too this is old."""
Put = Callable[[World, datetime], Awaitable[object]]


def kept(table: str, put: Put, how_long: timedelta | str, *, at: datetime = LONG_AGO) -> Stage:
    """Return how something that goes by its age is staged: at the last moment it is there still."""

    async def stage(walk: Walk) -> Staged:
        await put(walk.world, at)
        lasts = how_long
        if isinstance(lasts, str):
            days = await walk.ask(f"SELECT {lasts} FROM company")  # noqa: S608 - a column of ours
            lasts = timedelta(days=days)
        return Staged(
            due=at + lasts + MOMENT,
            seen=asking(walk, f"SELECT count(*) FROM {table}"),  # noqa: S608 - a table of ours
            before=1,
            after=0,
        )

    return stage


def row(table: str, put: Put, how_long: timedelta | str, *, clock: str, date: str, job: str) -> Row:
    return Row(
        clock=clock,
        date=date,
        done="deleted",
        job=job,
        stage=kept(table, put, how_long),
    )


def attached(kind: str) -> Put:
    async def put(world: World, at: datetime) -> None:
        await attach(world, kind, await add_route(world, at), at)

    return put


async def link(world: World, at: datetime) -> None:
    # The row's own link lasts a second.
    await attached("links")(world, at - timedelta(seconds=1))


async def package(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO export_package (company_id, export_id, driver_id, language, state, asked_at,"
        " expires_at, runs, rows_done) VALUES ($1, $2, $3, 'ru', 'failed', $4, $5, 1, 0)",
        world.company_id,
        uuid7(),
        world.driver.member_id,
        at,
        # Its very end is the first moment at which it is over.
        at + EXPORTS_KEPT + MOMENT,
    )


async def contact_change(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO contact_change (company_id, member_id, field, change_id, source,"
        " contact_sealed, code_hash, tries, asked_at, expires_at, sent, first_at)"
        " VALUES ($1, $2, 'email', $3, 'self', 'sealed', sha256('code'), 0, $4, $4, 1, $4)",
        world.company_id,
        world.driver.member_id,
        uuid7(),
        at,
    )


async def latest(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id, blob)"
        " VALUES ($1, $2, $3, $3, gen_random_uuid(), 'sealed')",
        world.company_id,
        world.driver.member_id,
        at,
    )


async def closing(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO gate_closing (company_id, driver_id, closing_id, started_at)"
        " VALUES ($1, $2, $3, $4)",
        world.company_id,
        world.driver.member_id,
        uuid7(),
        at,
    )


async def reads(world: World, at: datetime) -> None:
    await world.owner.execute(
        "INSERT INTO location_read_bucket (company_id, bucket_at, ledger_index) VALUES ($1, $2, 1)",
        world.company_id,
        at,
    )


async def live_key(walk: Walk) -> Staged:
    """A key of live positions is of one day, UTC, and goes when the day after it is over."""
    key = await walk.world.vault.key(
        walk.world.company_id, walk.driver_id, Category.LIVE, at=LONG_AGO
    )
    begins = LONG_AGO.replace(hour=0, minute=0, second=0, microsecond=0)

    async def seen() -> object:
        keys = await walk.world.vault.key_ids(
            walk.world.company_id, walk.driver_id, [Category.LIVE]
        )
        return key.key_id in keys

    return Staged(due=begins + timedelta(days=2), seen=seen, before=True, after=False)


ROWS: Final = (
    row(
        "disclosure",
        register,
        DISCLOSURES_KEPT,
        clock="register of disclosures",
        date="5 years after it was recorded",
        job="forget_disclosures",
    ),
    row(
        "incident",
        register,
        INCIDENTS_KEPT,
        clock="register of incidents",
        date="5 years after it was recorded, once it is over",
        job="forget_incidents",
    ),
    row(
        "export_package",
        package,
        EXPORTS_KEPT,
        clock="package of one's own data",
        date="7 days after it was asked for",
        job="forget_exports",
    ),
    row(
        "customer_link",
        link,
        LINKS_KEPT,
        clock="customer's link that ended",
        date="30 days after its end",
        job="forget_links",
    ),
    row(
        "plan_fact_report",
        attached("report_days"),
        "report_days",
        clock="reports",
        date="the company's report_days after the plan's end",
        job="forget_reports",
    ),
    row(
        "alert",
        attached("alerts"),
        "track_days",
        clock="alerts",
        date="the company's track_days after it was raised",
        job="forget_alerts",
    ),
    row(
        "stop_event",
        attached("stop_events"),
        STOP_EVENTS_KEPT,
        clock="what drivers said at stops",
        date="a year after it came",
        job="forget_stop_events",
    ),
    row(
        "route",
        add_route,
        "plan_days",
        clock="plans",
        date="the company's plan_days after the plan's end",
        job="forget_plans",
    ),
    row(
        "chunk",
        keep,
        "track_days",
        clock="tracks",
        date="the company's track_days after the last position of a row",
        job="forget_old_tracks",
    ),
    row(
        "contact_change",
        contact_change,
        CODES_COUNTED,
        clock="change of a phone or e-mail that nobody confirmed",
        date="a day after the first code was asked for",
        job="forget_contact_changes",
    ),
    row(
        "location_read_bucket",
        reads,
        READS_KEPT,
        clock="who looked at positions",
        date="a year after the look",
        job="forget_old_reads",
    ),
    row(
        "latest_position",
        latest,
        timedelta(seconds=LATEST_KEPT_S),
        clock="last position of who is only shown",
        date="15 minutes after the fix",
        job="sweep_latest_positions",
    ),
    row(
        "gate_closing",
        closing,
        timedelta(seconds=CLOSING_S_MAX),
        clock="what a crash left of a withdrawal under way",
        date="60 seconds after it began",
        job="sweep_gate_closings",
    ),
    Row(
        clock="key of a day's live positions",
        date="when the day after it is over",
        done="destroyed",
        job="destroy_live_keys",
        stage=live_key,
    ),
)
