"""Everything that has an age at which it goes is told by a dry run, and goes in a run."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.kit.ids import uuid7
from server.retention.command import EXPORT_KEYS, KINDS, READS, TOLD, run_now, tell_due
from server.vault.model import Category
from tests.conftest import Databases
from tests.data_map.words import RETENTIONS
from tests.retention.rows import DAY, keep
from tests.retention.test_service import count_refusal
from tests.world import NOW, World

LONG_AGO: Final = NOW - 800 * DAY
"""By every clock: of reads the database goes by its own."""
VERY_OLD: Final = 2_000 * DAY
"""How much earlier what is kept for five years was."""
KEYS: Final = ("keys of drivers' months", "keys of days of live positions", EXPORT_KEYS)
OTHERS: Final = (*KEYS, "counters of refusals", READS, "rows of positions")


async def add_route(world: World, ends_at: datetime, *, import_id: UUID | None = None) -> UUID:
    """Store a plan as it would be, past every check."""
    route_id = uuid7()
    await world.owner.execute(
        "INSERT INTO route (company_id, route_id, date, starts_at, ends_at, plan_version,"
        " stop_count, planned_m, name_sealed, plan_sealed, created_at, import_id)"
        " VALUES ($1, $2, $3::timestamptz::date, $3::timestamptz - interval '1 hour', $3, 2, 1, 0,"
        " 'sealed', 'sealed', $3, $4)",
        world.company_id,
        route_id,
        ends_at,
        import_id,
    )
    await world.owner.execute(
        "INSERT INTO route_version (company_id, route_id, plan_version, starts_at, ends_at,"
        " stop_count, planned_m, name_sealed, plan_sealed, planned_at, replaced_at)"
        " VALUES ($1, $2, 1, $3, $3, 1, 0, 'sealed', 'sealed', $3, $3)",
        world.company_id,
        route_id,
        ends_at,
    )
    return route_id


ATTACHED: Final = {
    "report_days": "INSERT INTO plan_fact_report (company_id, route_id, driver_id, tried_at,"
    " tried_version) VALUES ($1, $2, $3, $4, 1)",
    "alerts": "INSERT INTO alert (company_id, alert_id, route_id, driver_id, kind, occurrence,"
    " raised_at, particulars_sealed) VALUES ($1, gen_random_uuid(), $2, $3, 'late', 1, $4,"
    " 'sealed')",
    "stop_events": "INSERT INTO stop_event (company_id, stop_event_id, driver_id, event_id,"
    " route_id, stop_id, received_at, event_sealed) VALUES ($1, gen_random_uuid(), $3,"
    " gen_random_uuid(), $2, gen_random_uuid(), $4, 'sealed')",
    "links": "INSERT INTO customer_link (company_id, link_id, token_hash, route_id, stop_id,"
    " driver_id, created_at, expires_at) VALUES ($1, gen_random_uuid(),"
    " sha256($2::uuid::text::bytea), $2, gen_random_uuid(), $3, $4,"
    " $4::timestamptz + interval '1 second')",
}


async def attach(world: World, kind: str, route_id: UUID, at: datetime) -> None:
    ids = world.company_id, route_id, world.driver.member_id
    await world.owner.execute(ATTACHED[kind], *ids, at)


async def register(world: World, at: datetime) -> None:
    """Store a disclosure with a file, and an incident with a list, past every check."""
    ids = world.company_id, uuid7()
    await world.owner.execute(
        "INSERT INTO disclosure (company_id, disclosure_id, driver_id, ground, state, categories,"
        " recorded_at, evidence_sealed) VALUES ($1, $2, $3, 'consent', 'recorded', '{track}', $4,"
        " 'sealed')",
        *ids,
        world.driver.member_id,
        at,
    )
    await world.owner.execute(
        "INSERT INTO disclosure_file (company_id, disclosure_id, file_id, format, positions,"
        " size_bytes, sha256, made_at) VALUES ($1, $2, $2, 'csv', 0, 0, sha256('file'), $3)",
        *ids,
        at,
    )
    await world.owner.execute(
        "INSERT INTO incident (company_id, incident_id, state, reported_role, noticed_at,"
        " recorded_at, authority_due_at, members_due_at, ended_at, what_sealed, outcome_sealed)"
        " VALUES ($1, $2, 'dismissed', 'driver', $3, $3, $3, $3, $3, 'sealed', 'sealed')",
        *ids,
        at,
    )
    await world.owner.execute(
        "INSERT INTO incident_assessment (company_id, incident_id, round, cause, source, since,"
        " until, categories, consequences, advice, assessed_at, found, added, erased, list_hash)"
        " VALUES ($1, $2, 1, 'other', 'company', $3, $3::timestamptz + interval '1 second',"
        " '{track}', '{none_expected}', '{nothing_needed}', $3, 1, 1, 0, sha256('list'))",
        *ids,
        at,
    )
    await world.owner.execute(
        "INSERT INTO incident_member (company_id, incident_id, pseudonym, member_id, round)"
        " VALUES ($1, $2, $2, $3, 1)",
        *ids,
        world.driver.member_id,
    )


async def one_of_each(world: World, at: datetime) -> None:
    """Store one of everything that goes by its age."""
    await keep(world, at)
    await count_refusal(world, at)
    await world.vault.key(world.company_id, world.driver.member_id, Category.LIVE, at=at)
    await world.owner.execute(
        "INSERT INTO latest_position (company_id, driver_id, recorded_at, stored_at, key_id, blob)"
        " VALUES ($1, $2, $3, $3, gen_random_uuid(), 'sealed')"
        " ON CONFLICT (company_id, driver_id) DO NOTHING",
        world.company_id,
        world.driver.member_id,
        at,
    )
    await world.owner.execute(
        "INSERT INTO location_read_bucket (company_id, bucket_at, ledger_index) VALUES ($1, $2, 1)",
        world.company_id,
        at,
    )
    await world.vault.key(world.company_id, world.driver.member_id, Category.EXPORT, at=at)
    await world.owner.execute(
        "INSERT INTO export_package (company_id, export_id, driver_id, language, state, asked_at,"
        " expires_at, runs, rows_done) VALUES ($1, gen_random_uuid(), $2, 'ru', 'failed', $3,"
        " $3::timestamptz + interval '7 days', 1, 0)",
        world.company_id,
        world.driver.member_id,
        at,
    )
    for kind in ATTACHED:
        # A route of its own, whose plan stays for as long as this does.
        await attach(world, kind, await add_route(world, at), at)
    await add_route(world, at)
    await register(world, at - VERY_OLD if at == LONG_AGO else at)


def counts(said: list[str]) -> dict[str, int]:
    """Return how many of what, by what was said of them."""
    words = [line.split(": ")[1:] for line in said if line.count(": ") == 2]
    return {of: int(count.split()[0]) for of, count in words}


def test_a_dry_run_covers_all_that_has_an_age_in_the_data_map() -> None:
    assert {name for name, one in RETENTIONS.items() if one.by_age} == TOLD


async def test_a_dry_run_tells_one_of_each_and_removes_none_and_a_run_removes_it(
    world: World, databases: Databases
) -> None:
    await one_of_each(world, LONG_AGO)
    companies = [world.company_id]
    each = dict.fromkeys([*(kind.of for kind in KINDS), *OTHERS], 1)

    for _ in range(2):
        told: list[str] = []
        await tell_due(world.pool, world.vault, companies, say=told.append, now=NOW)
        found = counts(told)
        assert {of: found[of] for of in each} == each
    said: list[str] = []
    await run_now(databases.main, world.pool, world.vault, companies, say=said.append, now=NOW)

    gone = counts(said)
    # What hung on the other four plans went before them.
    assert {of: gone[of] for of in each} == each | {"plans of routes": 5}
    told = []
    await tell_due(world.pool, world.vault, companies, say=told.append, now=NOW)
    assert (told[0], counts(told)) == (f"{world.company_id}: nothing is old enough to go.", {})


async def test_nothing_young_is_told_or_goes(world: World, databases: Databases) -> None:
    await one_of_each(world, NOW - timedelta(minutes=1))
    companies = [world.company_id]
    told: list[str] = []

    await tell_due(world.pool, world.vault, companies, say=told.append, now=NOW)
    await run_now(databases.main, world.pool, world.vault, companies, say=told.append, now=NOW)

    nothing = f"{world.company_id}: nothing is old enough to go."
    assert (told[0], told[-1], counts(told)) == (nothing, nothing, {})
