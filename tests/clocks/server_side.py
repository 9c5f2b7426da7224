"""Clocks of credentials and of the server itself."""

from datetime import timedelta
from typing import Final

from server.ledger.service import CHECKPOINT_EVERY
from server.reads.model import BUCKET
from server.reads.service import CLOSED_AFTER
from tests.clocks.walk import Row, Staged, Walk, asking
from tests.incidents.acts import look, of_dispatcher, reported
from tests.world import NOW

CLOSED: Final = "SELECT count(*) FROM ledger_entry WHERE act = 'location_read_bucket'"


async def looked(walk: Walk) -> Staged:
    await look(walk.world, of_dispatcher(walk.people), walk.driver_id, at=NOW)
    due = NOW + BUCKET + CLOSED_AFTER
    return Staged(due=due, seen=asking(walk, CLOSED), before=0, after=1)


async def checkpoint(walk: Walk) -> Staged:
    await reported(walk.client, walk.people.driver)
    await walk.run("keep_checkpoints", NOW)
    await reported(walk.client, walk.people.driver)
    kept = "SELECT count(*) FROM ledger_checkpoint"
    before = await walk.ask(kept)
    seen = asking(walk, kept)
    return Staged(due=NOW + CHECKPOINT_EVERY, seen=seen, before=before, after=before + 1)


async def rekeying(walk: Walk) -> Staged:
    vault, company_id = walk.world.vault, walk.world.company_id
    await vault.destroy(company_id, walk.driver_id, NOW)
    await walk.run("rekey", NOW)

    async def seen() -> object:
        return await walk.world.keys_pool.fetchval("SELECT count(*) FROM rekeying")

    return Staged(due=NOW + timedelta(hours=24), seen=seen, before=1, after=2)


def elsewhere(
    clock: str, date: str, done: str, proved: str, *columns: str, job: str | None = None
) -> Row:
    return Row(
        clock=clock, date=date, done=done, job=job, proved=proved, columns=frozenset(columns)
    )


ROWS: Final = (
    Row(
        clock="five minutes of looks",
        date="30 seconds after they are over",
        done="the ledger has an entry with their hash",
        job="close_read_buckets",
        stage=looked,
    ),
    Row(
        clock="checkpoint of the ledger",
        date="10 minutes after the last",
        done="the chain is signed",
        job="keep_checkpoints",
        stage=checkpoint,
    ),
    Row(
        clock="exchange of the keys",
        date="24 hours after the last, sooner where somebody was erased",
        done="every key path is wrapped anew",
        job="rekey",
        stage=rekeying,
    ),
    elsewhere(
        "file of a disclosure",
        "7 days after its release",
        "it is made no more",
        "disclosures/test_web.py::test_no_file_leaves_without_an_entry_that_was_released",
    ),
    elsewhere(
        "log-ins that failed",
        "longer and longer, at most a minute",
        "the next one is looked at",
        "log_in/test_attempts.py::test_who_goes_on_waits_longer_but_never_more_than_a_minute",
    ),
    elsewhere(
        "session",
        "30 days after the log-in, 12 hours in a browser",
        "it opens nothing",
        "credentials/test_authorize.py::test_a_session_ends_at_its_time",
        "session.expires_at",
    ),
    elsewhere(
        "step-up",
        "10 minutes after the password",
        "it has to be typed again",
        "log_in/test_step_up.py::"
        "test_the_password_typed_again_counts_for_ten_minutes_and_no_longer",
        "session.stepped_up_until",
    ),
    elsewhere(
        "API token",
        "the date that it was made with",
        "it opens nothing",
        "credentials/test_credentials.py::test_an_api_token_does_what_its_scopes_say_until_it_ends",
        "api_token.expires_at",
    ),
    elsewhere(
        "invitation",
        "7 days after it was made",
        "its code is none",
        "accounts/test_invitations.py::test_an_invitation_runs_out_after_seven_days",
        "invitation.expires_at",
    ),
    elsewhere(
        "code to a new phone or e-mail",
        "15 minutes after it was asked for",
        "it is wrong",
        "corrections/test_codes.py::test_a_code_that_does_not_fit_changes_nothing",
        "contact_change.expires_at",
    ),
    elsewhere(
        "code to choose another password",
        "15 minutes after it was asked for",
        "it is wrong",
        "passwords/test_resetting.py::test_a_code_that_does_not_fit_changes_nothing",
        "password_reset.expires_at",
    ),
    elsewhere(
        "what is known of codes to choose another password",
        "a day after the first was asked for",
        "it is forgotten",
        "passwords/test_resetting.py::test_what_is_known_of_codes_goes_after_a_day_and_with_the_person",
        job="forget_password_resets",
    ),
    elsewhere(
        "closing of a company, reminder",
        "a week before its day",
        "all members are told again",
        "winding_up/test_whole_story.py::test_the_whole_story",
        job="remind_of_closing",
    ),
    elsewhere(
        "closing of a company",
        "the day that was said",
        "recording and log-ins end, every driver goes into erasure",
        "winding_up/test_whole_story.py::test_the_whole_story",
        job="close_company",
    ),
    elsewhere(
        "link to a package",
        "10 minutes after it was made",
        "it opens nothing",
        "exports/test_web.py::test_a_link_is_over_in_ten_minutes_and_with_the_next_one",
        "export_link.expires_at",
    ),
    elsewhere(
        "package at its end",
        "7 days after it was asked for",
        "nobody fetches it, removed or not",
        "exports/test_web.py::test_a_package_that_is_over_is_fetched_by_nobody_removed_or_not",
        "export_package.expires_at",
    ),
    elsewhere(
        "making of a package",
        "2 minutes without a sign of life",
        "another process goes on with it",
        "exports/test_making.py::test_a_crash_at_any_place_only_delays",
        job="go_on_with_exports",
    ),
    elsewhere(
        "customer's link",
        "when it was asked to, at most a day after the plan",
        "it shows nothing",
        "links/test_web.py::test_a_link_ends_when_it_was_asked_to_within_limits",
        "customer_link.expires_at",
    ),
    elsewhere(
        "message that was not taken",
        "later and later, for some days",
        "it is tried again, and then a dead letter",
        "delivery/test_outages.py::"
        "test_a_message_is_tried_again_later_and_later_then_is_a_dead_letter",
        "notice_delivery.next_attempt_at",
        job="deliver_notices",
    ),
    elsewhere(
        "certificate of an erasure",
        "when no copy of the keys opens anything",
        "it is issued",
        "certificates/test_certificates.py::"
        "test_there_is_none_before_copies_of_the_keys_are_worthless",
        job="issue_certificates",
    ),
    elsewhere(
        "hour of positions",
        "30 minutes after the hour",
        "it is merged into one row",
        "tracking/test_compaction.py::test_an_hour_that_may_still_grow_is_left_alone",
        job="compact_tracks",
    ),
    elsewhere(
        "report",
        "once its route is over",
        "it is stored",
        "reports/test_final.py::test_once_a_route_is_over_its_report_is_stored_once",
        job="finish_reports",
    ),
    elsewhere(
        "report that was missed",
        "each day",
        "it is tried again",
        "reports/test_jobs.py::test_a_report_that_failed_is_made_every_day",
        job="finish_missed_reports",
    ),
)
