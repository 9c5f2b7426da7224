"""The wire schemas of the register of incidents."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from server.credentials.model import Role
from server.disclosures.model import Category
from server.incidents.model import (
    Advice,
    Assessment,
    Cause,
    Consequence,
    Scope,
    Source,
    State,
)
from server.incidents.service import Shown
from server.kit.wire import Instant, Text, Wire

WHAT_CHARS_MAX: Final = 4_000
REFERENCE_CHARS_MAX: Final = 100
Paragraphs = Annotated[str, Text(WHAT_CHARS_MAX, lines=True)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class IncidentReport(Wire):
    what: Paragraphs
    """What happened, in words."""
    noticed_at: Instant | None = None
    """When it was noticed; now, unless it is said. The authority's clock runs from then."""


class IncidentReceipt(Wire):
    incident_id: UUID
    noticed_at: Instant
    recorded_at: Instant


class ScopeWire(Wire):
    cause: Cause
    source: Source
    """By what those who are affected are found: what an account or an API token saw, whose
    positions of the span are kept, or every member."""
    member_id: UUID | None = None
    """Of the source `account`."""
    api_token_id: UUID | None = None
    """Of the source `api_token`."""
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    categories: list[Category] = Field(min_length=1, max_length=len(Category))
    """What was seen. Looks at tracks and reports are written down one by one. Of anything else
    every member counts as affected, where a member of staff or a program may have looked."""
    consequences: list[Consequence] = Field(min_length=1, max_length=len(Consequence))
    advice: list[Advice] = Field(min_length=1, max_length=len(Advice))


class NewAssessment(ScopeWire):
    dry_run: bool = False
    """Only count: nobody is added to the list and nobody is told."""


class AssessmentCount(Wire):
    found: int
    """Whom it leads to."""
    added: int
    """Those of them who were not in the list."""
    erased: int
    """Who was seen and has been erased: nobody knows any more who it was."""
    round: int | None
    """Null where it was only counted."""


class AssessmentView(ScopeWire):
    round: int
    assessed_at: Instant
    found: int
    added: int
    erased: int
    list_sha256: Sha256
    """Over the pseudonyms of everybody in the list with this round; it stands in the ledger."""


class CountsView(Wire):
    affected: int
    erased: int
    told: int
    sent: int
    seen: int


class IncidentView(Wire):
    incident_id: UUID
    state: State
    what: str
    reported_by: str | None
    """The name; null where the person was erased."""
    reported_role: Role
    noticed_at: Instant
    recorded_at: Instant
    authority_due_at: Instant
    notified_at: Instant | None
    reference: str | None
    members_due_at: Instant
    ended_at: Instant | None
    outcome: str | None
    counts: CountsView
    assessments: list[AssessmentView]
    """The oldest first; left empty in the list of incidents."""


class AffectedView(Wire):
    member_id: UUID
    name: str | None
    round: int
    told_at: Instant | None
    """When their notice was queued."""
    notice_id: UUID | None
    """What became of it: `GET /v1/notices/{notice_id}/deliveries`."""
    stands: list[str]
    """Of each channel where it stands now, as `email:handed_over`."""


class AuthorityNotified(Wire):
    reference: Annotated[str, Text(REFERENCE_CHARS_MAX)]
    """Under which number the authority has it."""
    notified_at: Instant


class Outcome(Wire):
    outcome: Paragraphs
    """What was done, or why it was no incident."""


def scope_of(body: ScopeWire) -> Scope:
    return Scope(
        cause=body.cause,
        source=body.source,
        member_id=body.member_id,
        api_token_id=body.api_token_id,
        since=body.since,
        until=body.until,
        categories=tuple(dict.fromkeys(body.categories)),
        consequences=tuple(dict.fromkeys(body.consequences)),
        advice=tuple(dict.fromkeys(body.advice)),
    )


def view(shown: Shown) -> IncidentView:
    one = shown.incident
    return IncidentView(
        incident_id=one.incident_id,
        state=one.state,
        what=shown.what,
        reported_by=shown.reported_by,
        reported_role=one.reported_role,
        noticed_at=one.noticed_at,
        recorded_at=one.recorded_at,
        authority_due_at=one.authority.due_at,
        notified_at=one.notified_at,
        reference=shown.reference,
        members_due_at=one.members.due_at,
        ended_at=one.ended_at,
        outcome=shown.outcome,
        counts=CountsView.model_validate(shown.counts),
        assessments=[_assessment_view(round_) for round_ in shown.assessments],
    )


def _assessment_view(one: Assessment) -> AssessmentView:
    scope = one.scope
    return AssessmentView(
        round=one.round,
        cause=scope.cause,
        source=scope.source,
        member_id=scope.member_id,
        api_token_id=scope.api_token_id,
        since=scope.since,
        until=scope.until,
        categories=list(scope.categories),
        consequences=list(scope.consequences),
        advice=list(scope.advice),
        assessed_at=one.assessed_at,
        found=one.found,
        added=one.added,
        erased=one.erased,
        list_sha256=one.list_hash.hex(),
    )
