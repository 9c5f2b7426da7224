"""What stands in a package, in PostgreSQL: one statement for each table.

They name the tables of every feature: what is given out of them is read in one place, beside the
comments of the columns, which say that it is. Nothing in a statement is of anybody else.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from server.kit.db import Connection, Record

# By the table that it is of. Each is of one company ($1) and one member of it ($2), from one row on
# ($4) so many ($3).
STATEMENTS: Final[Mapping[str, str]] = {
    "member": """
        SELECT m.member_id, m.role, m.state, m.locale, m.name_sealed, m.phone_sealed,
                       m.email_sealed, m.created_at
          FROM member m
         WHERE m.company_id = $1 AND m.member_id = $2
         ORDER BY m.member_id LIMIT $3 OFFSET $4
        """,
    "birth_year": """
        SELECT b.driver_id, b.statement_id, b.year_sealed, b.stated_by, b.stated_at,
                       b.disputed_at
          FROM birth_year b
         WHERE b.company_id = $1 AND b.driver_id = $2
         ORDER BY b.stated_at, b.statement_id LIMIT $3 OFFSET $4
        """,
    "guardian_consent": """
        SELECT g.guardian_id, g.driver_id, g.name_sealed, g.relation, g.how, g.told_at,
                       g.document_sealed, g.recorded_by, g.recorded_at, g.revoked_at
          FROM guardian_consent g
         WHERE g.company_id = $1 AND g.driver_id = $2
         ORDER BY g.recorded_at, g.guardian_id LIMIT $3 OFFSET $4
        """,
    "attestation": """
        SELECT a.driver_id, a.attested_by, a.how, a.told_at, a.attested_at, a.documents,
                       a.editions
          FROM attestation a
         WHERE a.company_id = $1 AND a.driver_id = $2
         ORDER BY a.driver_id LIMIT $3 OFFSET $4
        """,
    "attestation_dispute": """
        SELECT a.driver_id, a.disputed_at
          FROM attestation_dispute a
         WHERE a.company_id = $1 AND a.driver_id = $2
         ORDER BY a.driver_id LIMIT $3 OFFSET $4
        """,
    "gate": """
        SELECT g.driver_id, g.account_active, g.location_since, g.dispatch_since,
                       g.plan_fact_since, g.location_always, g.location_sources,
                       g.location_background, g.location_until, g.dispatch_until,
                       g.plan_fact_until, g.stopped
          FROM gate g
         WHERE g.company_id = $1 AND g.driver_id = $2
         ORDER BY g.driver_id LIMIT $3 OFFSET $4
        """,
    "consent_record": """
        SELECT c.driver_id, c.item, c.version, c.record_id, c.state, c.actor, c.recorded_at,
                       c.scope, c.sources, c.background, c.notice_edition,
                       c.notice_language, c.notice_sha256, c.valid_until, c.record,
                       c.record_sha256, c.nonce, c.ledger_index, c.held_since
          FROM consent_record c
         WHERE c.company_id = $1 AND c.driver_id = $2
         ORDER BY c.recorded_at, c.item, c.version LIMIT $3 OFFSET $4
        """,
    "policy_acceptance": """
        SELECT p.member_id, p.document, p.edition, p.language, p.sha256, p.accepted_at,
                       p.clarifications_answered, p.clarifications_answered_at,
                       p.clarifications_open
          FROM policy_acceptance p
         WHERE p.company_id = $1 AND p.member_id = $2
         ORDER BY p.accepted_at, p.document, p.edition, p.language LIMIT $3 OFFSET $4
        """,
    "policy_controller": """
        SELECT p.bin, p.privacy_contact, p.changed_at, c.name
          FROM policy_controller p
          JOIN company c
            ON c.company_id = p.company_id
         WHERE p.company_id = $1 AND $2::uuid IS NOT NULL
         ORDER BY p.changed_at LIMIT $3 OFFSET $4
        """,
    "controller_change": """
        SELECT c.change_id, c.name, c.bin, c.privacy_contact, c.noticed_at, c.effective_at,
                       c.cancelled_at
          FROM controller_change c
         WHERE c.company_id = $1 AND $2::uuid IS NOT NULL
         ORDER BY c.noticed_at, c.change_id LIMIT $3 OFFSET $4
        """,
    "controller_agreement": """
        SELECT c.change_id, c.driver_id, c.effective_at, c.agreed_at
          FROM controller_agreement c
         WHERE c.company_id = $1 AND c.driver_id = $2
         ORDER BY c.agreed_at, c.change_id LIMIT $3 OFFSET $4
        """,
    "controller_move": """
        SELECT c.change_id, c.driver_id, c.effective_at, c.kept, c.lapsed, c.moved_at
          FROM controller_move c
         WHERE c.company_id = $1 AND c.driver_id = $2
         ORDER BY c.moved_at, c.change_id LIMIT $3 OFFSET $4
        """,
    "device_notice": """
        SELECT d.device_id, d.edition, d.member_id, d.language, d.sha256, d.acknowledged_at
          FROM device_notice d
         WHERE d.company_id = $1 AND d.member_id = $2
         ORDER BY d.acknowledged_at, d.device_id, d.edition LIMIT $3 OFFSET $4
        """,
    "device_permission": """
        SELECT d.device_id, d.member_id, d.state, d.changed_at
          FROM device_permission d
         WHERE d.company_id = $1 AND d.member_id = $2
         ORDER BY d.changed_at, d.device_id LIMIT $3 OFFSET $4
        """,
    # Without the words of codes (OF_SECRETS): who reads a package has not proved their address.
    "notice": """
        SELECT n.notice_id, n.member_id, n.kind, n.queued_at, n.prepared_at, n.language,
               CASE WHEN n.kind IN ('contact_code', 'password_code') THEN '{}' ELSE n.facts
                END AS facts,
               CASE WHEN n.kind NOT IN ('contact_code', 'password_code') THEN n.text_sealed
                END AS text_sealed
          FROM notice n
         WHERE n.company_id = $1 AND n.member_id = $2
         ORDER BY n.queued_at, n.notice_id LIMIT $3 OFFSET $4
        """,
    "notice_delivery": """
        SELECT n.notice_id, n.channel, n.member_id, n.state
          FROM notice_delivery n
         WHERE n.company_id = $1 AND n.member_id = $2
         ORDER BY n.notice_id, n.channel LIMIT $3 OFFSET $4
        """,
    "notice_event": """
        SELECT n.notice_id, n.channel, n.number, n.member_id, n.event, n.reason, n.at
          FROM notice_event n
         WHERE n.company_id = $1 AND n.member_id = $2
         ORDER BY n.at, n.notice_id, n.channel, n.number LIMIT $3 OFFSET $4
        """,
    "notice_preference": """
        SELECT n.member_id, n.channel, n.marketing
          FROM notice_preference n
         WHERE n.company_id = $1 AND n.member_id = $2
         ORDER BY n.channel LIMIT $3 OFFSET $4
        """,
    "alert_wish": """
        SELECT a.member_id, a.kind, a.wanted
          FROM alert_wish a
         WHERE a.company_id = $1 AND a.member_id = $2
         ORDER BY a.kind LIMIT $3 OFFSET $4
        """,
    "controller_told": """
        SELECT c.change_id, c.member_id, c.notice_id, c.told_at
          FROM controller_told c
         WHERE c.company_id = $1 AND c.member_id = $2
         ORDER BY c.told_at, c.change_id LIMIT $3 OFFSET $4
        """,
    # Of each day in UTC; what was uploaded over midnight counts for the day on which it ends.
    "chunk": """
        SELECT (c.last_at AT TIME ZONE 'UTC')::date AS day, sum(c.count)::bigint AS positions,
               min(c.first_at) AS first_at, max(c.last_at) AS last_at
          FROM chunk c
         WHERE c.company_id = $1 AND c.driver_id = $2
         GROUP BY day
         ORDER BY day LIMIT $3 OFFSET $4
        """,
    "latest_position": """
        SELECT l.driver_id, l.recorded_at, l.blob, l.key_id
          FROM latest_position l
         WHERE l.company_id = $1 AND l.driver_id = $2
         ORDER BY l.driver_id LIMIT $3 OFFSET $4
        """,
    "refusal_count": """
        SELECT r.driver_id, r.day, r.reason, r.count
          FROM refusal_count r
         WHERE r.company_id = $1 AND r.driver_id = $2
         ORDER BY r.day, r.reason LIMIT $3 OFFSET $4
        """,
    "set_apart": """
        SELECT s.driver_id, s.before, s.positions
          FROM set_apart s
         WHERE s.company_id = $1 AND s.driver_id = $2
         ORDER BY s.before LIMIT $3 OFFSET $4
        """,
    "shift": """
        SELECT s.driver_id, s.shift_id, s.started_at, s.ends_by, s.paused_at, s.ended_at,
                       s.ended_by
          FROM shift s
         WHERE s.company_id = $1 AND s.driver_id = $2
         ORDER BY s.started_at, s.shift_id LIMIT $3 OFFSET $4
        """,
    "recording_window": """
        SELECT w.driver_id, w.window_id, w.opened_at, w.expires_at, w.closed_at
          FROM recording_window w
         WHERE w.company_id = $1 AND w.driver_id = $2
         ORDER BY w.opened_at, w.window_id LIMIT $3 OFFSET $4
        """,
    "route": """
        SELECT r.route_id, r.date, r.starts_at, r.ends_at, r.driver_id, r.assigned_at,
                       r.cancelled_at, v.name AS vehicle_name, v.plate AS vehicle_plate
          FROM route r
          LEFT JOIN vehicle v
            ON v.company_id = r.company_id AND v.vehicle_id = r.vehicle_id
         WHERE r.company_id = $1 AND r.driver_id = $2
         ORDER BY r.starts_at, r.route_id LIMIT $3 OFFSET $4
        """,
    "customer_link": """
        SELECT l.link_id, l.route_id, l.stop_id, l.driver_id, l.created_at, l.expires_at,
                       l.delivered_at, l.revoked_at
          FROM customer_link l
         WHERE l.company_id = $1 AND l.driver_id = $2
         ORDER BY l.created_at, l.link_id LIMIT $3 OFFSET $4
        """,
    "plan_fact_report": """
        SELECT p.route_id, p.driver_id, p.computed_at, p.since, p.sealed, p.sums_sealed
          FROM plan_fact_report p
         WHERE p.company_id = $1 AND p.driver_id = $2 AND p.sealed IS NOT NULL
         ORDER BY p.computed_at, p.route_id LIMIT $3 OFFSET $4
        """,
    "alert": """
        SELECT a.alert_id, a.route_id, a.driver_id, a.kind, a.occurrence, a.raised_at,
                       a.calm_since, a.cleared_at, a.acknowledged_at, a.particulars_sealed
          FROM alert a
         WHERE a.company_id = $1 AND a.driver_id = $2
         ORDER BY a.raised_at, a.alert_id LIMIT $3 OFFSET $4
        """,
    "stop_event": """
        SELECT s.stop_event_id, s.driver_id, s.event_id, s.route_id, s.stop_id,
                       s.received_at, s.event_sealed
          FROM stop_event s
         WHERE s.company_id = $1 AND s.driver_id = $2
         ORDER BY s.received_at, s.stop_event_id LIMIT $3 OFFSET $4
        """,
    "clarification": """
        SELECT c.clarification_id, c.member_id, c.document, c.edition, c.language, c.state,
                       c.asked_at, c.closed_at, c.answered_by, c.question_sealed,
                       c.answer_sealed
          FROM clarification c
         WHERE c.company_id = $1 AND c.member_id = $2
         ORDER BY c.asked_at, c.clarification_id LIMIT $3 OFFSET $4
        """,
    "device": """
        SELECT d.device_id, d.member_id, d.name_sealed, d.created_at, d.revoked_at
          FROM device d
         WHERE d.company_id = $1 AND d.member_id = $2
         ORDER BY d.created_at, d.device_id LIMIT $3 OFFSET $4
        """,
    "session": """
        SELECT s.created_at, s.expires_at, s.stepped_up_until
          FROM session s
         WHERE s.company_id = $1 AND s.member_id = $2
         ORDER BY s.created_at, s.expires_at LIMIT $3 OFFSET $4
        """,
    "second_factor": """
        SELECT s.member_id, s.begun_at, s.confirmed_at
          FROM second_factor s
         WHERE s.company_id = $1 AND s.member_id = $2
         ORDER BY s.member_id LIMIT $3 OFFSET $4
        """,
    "erasure_request": """
        SELECT e.request_id, e.driver_id, e.state, e.requested_by_role, e.reason_code,
                       e.requested_at, e.decided_by_role, e.refusal_ground, e.decided_at,
                       e.grace_until, e.cancelled_by_role, e.cancelled_at, e.erased_at,
                       e.backups_unreadable_at, e.after_restore, e.answer_by,
                       e.refused_until
          FROM erasure_request e
         WHERE e.company_id = $1 AND e.driver_id = $2
         ORDER BY e.requested_at, e.request_id LIMIT $3 OFFSET $4
        """,
    "export_package": """
        SELECT p.export_id, p.driver_id, p.language, p.state, p.asked_at, p.expires_at,
                       p.rows_done, p.size_bytes, p.ready_at
          FROM export_package p
         WHERE p.company_id = $1 AND p.driver_id = $2
         ORDER BY p.asked_at, p.export_id LIMIT $3 OFFSET $4
        """,
    "account_standing": """
        SELECT a.member_id, a.joined_at, a.used_at, a.warned_at, a.reason, a.acted_by,
                       a.since, a.order_reference, a.reads_until
          FROM account_standing a
         WHERE a.company_id = $1 AND a.member_id = $2
         ORDER BY a.member_id LIMIT $3 OFFSET $4
        """,
    "correction": """
        SELECT c.correction_id, c.member_id, c.field, c.source, c.by_member, c.before_sealed,
                       c.after_sealed, c.corrected_at
          FROM correction c
         WHERE c.company_id = $1 AND c.member_id = $2
         ORDER BY c.correction_id LIMIT $3 OFFSET $4
        """,
    "contact_change": """
        SELECT c.change_id, c.member_id, c.field, c.source, c.contact_sealed, c.asked_at,
                       c.expires_at
          FROM contact_change c
         WHERE c.company_id = $1 AND c.member_id = $2
         ORDER BY c.field LIMIT $3 OFFSET $4
        """,
    "deleted_span": """
        SELECT d.driver_id, d.deletion_id, d.since, d.until, d.asked_at, d.positions, d.done_at,
                       d.backups_hold_until
          FROM deleted_span d
         WHERE d.company_id = $1 AND d.driver_id = $2
         ORDER BY d.deletion_id LIMIT $3 OFFSET $4
        """,
    # As their notice says it, and not before that: until then it is not known whom it concerns.
    "incident_member": """
        SELECT m.incident_id, m.member_id, m.told_at, a.cause, a.since, a.until, a.categories,
                       a.consequences, a.advice
          FROM incident_member m
          JOIN incident_assessment a
            ON a.company_id = m.company_id AND a.incident_id = m.incident_id AND a.round = m.round
         WHERE m.company_id = $1 AND m.member_id = $2 AND m.told_at IS NOT NULL
         ORDER BY m.incident_id LIMIT $3 OFFSET $4
        """,
    "person_request": """
        SELECT p.person_request_id, p.driver_id, p.kind, p.came_by, p.received_at,
                       p.recorded_at, p.recorded_by, p.said_sealed, p.evidence_sealed,
                       p.answer_by, p.state, p.answer_sealed, p.answered_at, p.answered_by,
                       p.reminded_at, p.escalated_at
          FROM person_request p
         WHERE p.company_id = $1 AND p.driver_id = $2
         ORDER BY p.person_request_id LIMIT $3 OFFSET $4
        """,
    "hold": """
        SELECT h.hold_id, h.driver_id, h.request_id, h.category, h.state, h.ground, h.until,
                       h.evidence_sealed, h.asked_by_role, h.asked_at, h.placed_at, h.ended_at,
                       h.ended_by_role
          FROM hold h
         WHERE h.company_id = $1 AND h.driver_id = $2
         ORDER BY h.asked_at, h.hold_id LIMIT $3 OFFSET $4
        """,
    "erasure_refusal": """
        SELECT e.request_id, e.driver_id, e.text_sealed, e.locale, e.refused_at
          FROM erasure_refusal e
         WHERE e.company_id = $1 AND e.driver_id = $2
         ORDER BY e.refused_at, e.request_id LIMIT $3 OFFSET $4
        """,
}


async def rows(
    conn: Connection,
    statement: str,
    company_id: UUID,
    member_id: UUID,
    *,
    limit: int,
    after: int,
) -> list[Record]:
    """Return a page of what one of the statements finds, after so many rows."""
    return await conn.fetch(statement, company_id, member_id, limit, after)


class Span(NamedTuple):
    """From the first to the last position."""

    first_at: datetime
    last_at: datetime


async def span_of_track(conn: Connection, company_id: UUID, driver_id: UUID) -> Span | None:
    """Return when the driver's positions begin and end; None where there are none."""
    row = await conn.fetchrow(
        """
        SELECT min(first_at) AS first_at, max(last_at) AS last_at FROM chunk
         WHERE company_id = $1 AND driver_id = $2
        """,
        company_id,
        driver_id,
    )
    return None if row is None or row["first_at"] is None else Span(*row)
