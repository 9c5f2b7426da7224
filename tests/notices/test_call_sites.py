"""Every kind of notice is queued by something, and this says by what."""

from collections.abc import Iterable
from typing import Final

import pytest

from server.alerts.model import AlertKind
from server.consent.model import ConsentItem
from server.credentials.model import Role
from server.erasure.model import Outcome
from server.holds.model import Ground, HeldCategory, HoldState
from server.ledger.model import ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notice_kinds.words import WORDS
from server.person_requests.model import CameBy, Kind
from server.policies.model import ChangeClass, Document
from server.shifts.model import ShiftEnd
from server.standing.model import BlockReason, lifted_by
from tests.call_sites import call_sites

LISTED_IN: Final = "notice_kinds/table.py"
# How many of those who are affected were told.
LOOKED_FOR_IN: Final = {NoticeKind.INCIDENT_AFFECTED: "incidents/service.py"}
ALSO_BY: Final = {NoticeKind.ERASURE_REQUESTED: "erasure/restoring.py"}
"""Where a restored backup makes it necessary to tell it once more."""
QUEUED_BY: Final[dict[NoticeKind, str]] = {
    NoticeKind.ACCOUNT_INVITED: "invitations/service.py",
    NoticeKind.ACCOUNT_BLOCKED: "consent/service.py",
    NoticeKind.ACCOUNT_UNBLOCKED: "erasure/service.py",
    NoticeKind.ACCOUNT_OFFBOARDED: "life/service.py",
    NoticeKind.PHONE_LOST: "life/service.py",
    NoticeKind.PASSWORD_CHANGED: "passwords/service.py",
    NoticeKind.ACCOUNT_UNUSED: "idle/service.py",
    NoticeKind.SHIFT_REMINDER: "shifts/service.py",
    NoticeKind.SHIFT_ENDED_BY_OTHER: "shifts/service.py",
    NoticeKind.CONSENT_WITHDRAWN_CONFIRMATION: "consent/acts.py",
    NoticeKind.CONSENT_REQUESTED: "consent/service.py",
    NoticeKind.CONSENT_EXPIRING: "consent/expiry.py",
    NoticeKind.CONSENT_ENDED: "consent/expiry.py",
    NoticeKind.EDITION_PUBLISHED: "policies/service.py",
    NoticeKind.CLARIFICATION_ASKED: "clarifications/service.py",
    NoticeKind.CLARIFICATION_ANSWERED: "clarifications/service.py",
    NoticeKind.CONTROLLER_CHANGE_ANNOUNCED: "controllers/service.py",
    NoticeKind.CONTROLLER_CHANGE_CANCELLED: "controllers/service.py",
    NoticeKind.CONTROLLER_CHANGED: "controllers/service.py",
    NoticeKind.ATTESTATION_MADE: "attestations/service.py",
    NoticeKind.ATTESTATION_DISPUTED: "attestations/service.py",
    NoticeKind.BIRTH_YEAR_STATED: "guardians/service.py",
    NoticeKind.BIRTH_YEAR_DISPUTED: "guardians/service.py",
    NoticeKind.GUARDIAN_CONSENT_RECORDED: "guardians/service.py",
    NoticeKind.GUARDIAN_CONSENT_REVOKED: "guardians/service.py",
    NoticeKind.GUARDIAN_CONSENT_LAPSED: "guardians/service.py",
    NoticeKind.ERASURE_REQUESTED: "erasure/service.py",
    NoticeKind.ERASURE_DECIDED: "erasure_decisions/service.py",
    NoticeKind.ERASURE_TO_DECIDE: "erasure_decisions/clock.py",
    NoticeKind.ERASURE_HELD: "erasure/saga.py",
    NoticeKind.HOLD_CHANGED: "holds/service.py",
    NoticeKind.HOLD_ENDING: "holds/service.py",
    NoticeKind.DISCLOSURE_WAITING: "disclosures/service.py",
    NoticeKind.DISCLOSURE_MADE: "disclosures/service.py",
    NoticeKind.INCIDENT_OPENED: "incidents/service.py",
    NoticeKind.INCIDENT_DUE: "incidents/telling.py",
    NoticeKind.INCIDENT_OVERDUE: "incidents/telling.py",
    NoticeKind.INCIDENT_AFFECTED: "incidents/telling.py",
    NoticeKind.EXPORT_READY: "exports/service.py",
    NoticeKind.BULK_READ: "rights/service.py",
    NoticeKind.UNKNOWN_IDS: "rights/service.py",
    NoticeKind.DEVICE_ADDED: "devices/service.py",
    NoticeKind.SECOND_FACTOR_SET: "second_factor/service.py",
    NoticeKind.SECOND_FACTOR_REMOVED: "second_factor/service.py",
    NoticeKind.LOG_INS_FAILED: "log_in/telling.py",
    NoticeKind.CODES_GUESSED: "second_factor/service.py",
    NoticeKind.ROUTE_ALERT: "alerts/service.py",
    NoticeKind.INDIRECT_SOURCE: "invitations/service.py",
    NoticeKind.DATA_CORRECTED: "corrections/service.py",
    NoticeKind.CONTACT_CHANGE_ASKED: "corrections/contacts.py",
    NoticeKind.CONTACT_CODE: "corrections/contacts.py",
    NoticeKind.PASSWORD_CODE: "passwords/resetting.py",
    NoticeKind.PERSON_REQUEST_RECORDED: "person_requests/service.py",
    NoticeKind.PERSON_REQUEST_ANSWERED: "person_requests/service.py",
    NoticeKind.COMPANY_CLOSING: "closure/service.py",
    NoticeKind.COMPANY_STAYS: "closure/service.py",
    NoticeKind.COMPANY_CLOSED: "winding_up/asking.py",
    NoticeKind.PERSON_REQUEST_DUE: "person_requests/service.py",
    NoticeKind.PERSON_REQUEST_OVERDUE: "person_requests/service.py",
    NoticeKind.MARKETING_NEWS: "notices/service.py",
}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_of_notice_is_queued_by_what_is_said_here(kind: NoticeKind) -> None:
    elsewhere = {LISTED_IN, LOOKED_FOR_IN.get(kind)}

    assert call_sites(NoticeKind).get(kind, set()) - elsewhere - {ALSO_BY.get(kind)} == {
        QUEUED_BY[kind]
    }


@pytest.mark.parametrize(
    ("words", "callers"),
    [
        ("role", {*Role, ShiftEnd.FORGOTTEN, ActorKind.API_TOKEN}),
        ("block_reason", BlockReason),
        ("keeping", (BlockReason.IDLE, BlockReason.UNVERIFIED)),
        ("lifting", {lifted_by(one) for one in BlockReason}),
        ("consent_item", ConsentItem),
        ("outcome", Outcome),
        ("ground", Ground),
        ("data_category", HeldCategory),
        ("hold_state", HoldState),
        ("document", Document),
        ("change", ChangeClass),
        ("alert", AlertKind),
        ("request", Kind),
        ("came_by", CameBy),
    ],
)
def test_every_word_that_a_caller_has_is_in_the_list(words: str, callers: Iterable[str]) -> None:
    # One that is missing would make the act fail that tells of it: a withdrawal, a block.
    assert {str(one) for one in callers} <= WORDS[words]
