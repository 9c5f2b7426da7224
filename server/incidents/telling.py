"""Telling of incidents: each member in a list once, and the staff of every clock.

Both are due each minute, and each is one transaction: whatever crashes, nobody is told twice.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.incidents import service, store
from server.incidents.model import (
    Clock,
    Incident,
    IncidentMissing,
    Scope,
    is_overdue,
    is_to_remind,
)
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.wire import rfc3339
from server.ledger.model import SYSTEM, Act
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies

TOLD_AT_ONCE_MAX: Final = 200
RUNNING_MAX: Final = 200


async def tell_affected(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Queue the notices of some who are in a list and not told; return how many."""
    untold = await store.lock_untold(conn, company_id, limit=TOLD_AT_ONCE_MAX)
    if not untold:
        return 0
    controller = await policies.controller(conn, company_id)
    contact = controller.privacy_contact or controller.company_name
    facts: dict[tuple[UUID, int], dict[str, str]] = {}
    for incident_id in dict.fromkeys(one[0] for one in untold):
        incident = there(await store.get(conn, company_id, incident_id), IncidentMissing)
        for round_ in await store.assessments(conn, company_id, incident_id):
            said = _said(incident, round_.scope, contact)
            facts[incident_id, round_.round] = said
    told: dict[UUID, list[UUID]] = {}
    for incident_id, pseudonym, member_id, in_round in untold:
        await notices.queue(
            conn,
            company_id,
            member_id,
            NoticeKind.INCIDENT_AFFECTED,
            facts[incident_id, in_round],
            now=now,
            dedupe=str(incident_id),
        )
        told.setdefault(incident_id, []).append(pseudonym)
    for incident_id, pseudonyms in told.items():
        await store.set_told(conn, company_id, incident_id, pseudonyms, now)
    return len(untold)


async def watch_clocks(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Remind at half of each clock's time, and tell more people once it ran out.

    Return how many notices there were. What ran out is told once a day until it is done.
    """
    told = 0
    overdue: list[tuple[Incident, Clock]] = []
    for incident in await store.lock_running(conn, company_id, limit=RUNNING_MAX):
        changed = incident
        for clock in Clock:
            if is_overdue(incident, clock, now):
                told += await _tell(conn, company_id, incident, clock, late=True, now=now)
                changed = _marked(changed, clock, escalated_at=now, reminded_at=now)
                overdue.append((incident, clock))
            elif is_to_remind(incident, clock, now):
                told += await _tell(conn, company_id, incident, clock, late=False, now=now)
                changed = _marked(changed, clock, reminded_at=now)
        if changed is not incident:
            await store.update(conn, company_id, changed)
    for incident, clock in overdue:
        await service.enter(
            conn,
            company_id,
            Act.INCIDENT_OVERDUE,
            incident,
            by=SYSTEM,
            facts={"clock": clock.value, "due_at": rfc3339(incident.running(clock).due_at)},
            now=now,
        )
    return told


def _marked(incident: Incident, clock: Clock, **at: datetime) -> Incident:
    running = replace(incident.running(clock), **at)
    if clock is Clock.AUTHORITY:
        return replace(incident, authority=running)
    return replace(incident, members=running)


async def _tell(
    conn: Connection,
    company_id: UUID,
    incident: Incident,
    clock: Clock,
    *,
    late: bool,
    now: datetime,
) -> int:
    """Tell main users of a clock; once it ran out, dispatchers as well."""
    told = {
        "step": clock.value,
        "noticed_at": rfc3339(incident.noticed_at),
        "due_at": rfc3339(incident.running(clock).due_at),
    }
    kind = NoticeKind.INCIDENT_OVERDUE if late else NoticeKind.INCIDENT_DUE
    readers = await accounts.main_users(conn, company_id)
    if late:
        readers += await accounts.dispatchers(conn, company_id)
    for member_id in readers:
        await notices.queue(conn, company_id, member_id, kind, told, now=now)
    return len(readers)


def _said(incident: Incident, scope: Scope, contact: str) -> dict[str, str]:
    return {
        "cause": scope.cause.value,
        "noticed_at": rfc3339(incident.noticed_at),
        "since": rfc3339(scope.since),
        "until": rfc3339(scope.until),
        "categories": ",".join(scope.categories),
        "consequences": ",".join(scope.consequences),
        "advice": ",".join(scope.advice),
        "contact": contact,
    }
