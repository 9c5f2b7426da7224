"""Whom an incident affects: read off the register of reads and the ledger, and nobody's memory."""

from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials import service as credentials
from server.disclosures import service as disclosures
from server.incidents import seen_store
from server.incidents.model import Found, IncidentSourceInvalid, Scope, Source, is_everybody
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import Act

NOTHING_SEEN: Final = (Act.READ_REFUSED.value,)
"""Acts about somebody by which nothing of theirs was seen."""


async def find(conn: Connection, company_id: UUID, scope: Scope, now: datetime) -> Found:
    """Return everybody whom the scope leads to, by their pseudonyms.

    Raises
    ------
    IncidentSourceInvalid
        The account or the API token is not of this company.
    """
    states = await accounts.member_states(conn, company_id)
    everybody = is_everybody(scope)
    members: set[UUID] = set()
    seen: set[UUID] = set()
    if scope.member_id is not None:
        if scope.member_id not in states:
            raise IncidentSourceInvalid
        if await accounts.is_driver(conn, company_id, scope.member_id):
            everybody = False  # whoever has a driver's account sees that driver and nobody else
        members.add(scope.member_id)
        given = await disclosures.given_by(
            conn, company_id, scope.member_id, since=scope.since, until=scope.until
        )
        members.update(given)
        known = await ledger.pseudonyms(conn, company_id, [scope.member_id], now)
        seen = await _seen_by(conn, company_id, known[scope.member_id].pseudonym, scope)
    elif scope.api_token_id is not None:
        if not await credentials.api_token_names(conn, company_id, {scope.api_token_id}):
            raise IncidentSourceInvalid
        seen = await _seen_by(conn, company_id, scope.api_token_id, scope)
    elif scope.source is Source.TRACKS:
        recorded = await seen_store.recorded(conn, company_id, since=scope.since, until=scope.until)
        members.update(recorded)
    if everybody:
        members.update(states)
    return await _named(conn, company_id, members, seen, now)


async def _seen_by(conn: Connection, company_id: UUID, viewer_id: UUID, scope: Scope) -> set[UUID]:
    """Return the pseudonyms of whom a viewer looked at, and about whom they acted."""
    span = {"since": scope.since, "until": scope.until}
    looked = await seen_store.looked_at(conn, company_id, viewer_id, **span)
    acted = await seen_store.acted_on(conn, company_id, viewer_id, **span, but=NOTHING_SEEN)
    return looked | acted


async def _named(
    conn: Connection, company_id: UUID, members: set[UUID], seen: set[UUID], now: datetime
) -> Found:
    """Put names to pseudonyms, and pseudonyms to members."""
    named = await ledger.members_of(conn, company_id, seen) if seen else {}
    subjects = await ledger.pseudonyms(conn, company_id, members, now)
    found = {one.pseudonym: one.member_id for one in subjects.values()}
    return Found(members={**named, **found}, erased=frozenset(seen - named.keys()))
