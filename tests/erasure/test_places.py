"""Every column that could name a person is looked at when an erasure is verified, or cannot."""

from typing import Final

from server.erasure import store
from server.kit import db
from tests.world import World

# What else is a uuid, and why no driver is to be found by it.
THINGS: Final = frozenset(
    {
        "company_id",
        "alert_id",
        "api_token_id",
        "change_id",
        "reset_id",
        "clarification_id",
        "clarifications_answered",
        "closing_id",
        "correction_id",
        "deletion_id",
        "device_id",
        "disclosure_id",
        "event_id",
        "file_id",
        "export_id",
        "guardian_id",
        "import_id",
        "incident_id",
        "key_id",
        "key_ids",
        "link_id",
        "notice_id",
        "person_request_id",
        "record_id",
        "request_id",
        "route_id",
        "run_id",
        "settled_stops",
        "shift_id",
        "statement_id",
        "stop_event_id",
        "stop_id",
        "upload_id",
        "vehicle_id",
        "hold_id",
        "window_id",
    }
)
PSEUDONYMS: Final = frozenset(
    {
        ("viewer_alert", "viewer_id"),
        ("incident_member", "pseudonym"),
        ("ledger_entry", "actor_id"),
        ("ledger_entry", "subject_id"),
        ("ledger_subject", "pseudonym"),
        ("location_read", "viewer_id"),
        ("location_read_set", "drivers"),
    }
)
"""The ledger's own names for members. What ties them to anybody is a row of ``ledger_subject``."""
STAFF: Final = frozenset(
    {
        ("alert", "acknowledged_by"),
        ("attestation", "attested_by"),
        ("birth_year", "stated_by"),
        ("clarification", "answered_by"),
        ("erasure_request", "asked_by"),
        ("contact_change", "by_member"),
        ("correction", "by_member"),
        ("guardian_consent", "recorded_by"),
        ("guardian_consent", "revoked_by"),
        ("person_request", "answered_by"),
        ("person_request", "recorded_by"),
        ("disclosure", "decided_by"),
        ("disclosure", "recorded_by"),
        ("disclosure_file", "made_by"),
        ("incident_assessment", "assessed_by"),
    }
)
"""Only drivers are erased, and no driver attests, states, records, answers or corrects others."""
REQUEST: Final = ("erasure_request", "driver_id")
"""Stays: with the person gone nothing in use tells whose it was."""


async def test_every_id_of_a_person_is_looked_for_and_every_other_id_is_of_a_thing(
    world: World,
) -> None:
    rows = await world.owner.fetch(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        " AND (c.udt_name IN ('uuid', '_uuid'))"
    )
    ids = {(row["table_name"], row["column_name"]) for row in rows}
    async with db.tenant(world.pool, world.company_id) as conn:
        looked_at = {(one.table, one.column) for one in await store.places(conn)}

    left = {one for one in ids - looked_at if one[1] not in THINGS}

    assert left == PSEUDONYMS | STAFF | {REQUEST}
    assert {column for _, column in looked_at} == {"member_id", "driver_id"}
    assert {column for _, column in ids} >= THINGS, "a name here that no column has any more"


async def test_texts_that_may_hold_an_id_go_with_a_row_that_names_the_person(
    world: World,
) -> None:
    rows = await world.owner.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND udt_name IN ('json', 'jsonb')"
    )

    # The persons in a notice's facts stand in notice_person, or are its reader.
    assert {tuple(row) for row in rows} == {("notice", "facts")}
