"""Every kind of notice is queued by something, and this says by what."""

from collections.abc import Iterable
from typing import Final

import pytest

from server.accounts.model import BlockReason
from server.alerts.model import AlertKind
from server.consent.model import ConsentItem
from server.credentials.model import Role
from server.erasure.model import Ground, Outcome
from server.ledger.model import ActorKind
from server.notices.kinds import WORDS, NoticeKind
from server.policies.model import ChangeClass, Document
from server.shifts.model import ShiftEnd
from tests.call_sites import call_sites

QUEUED_BY: Final[dict[NoticeKind, str]] = {
    NoticeKind.ACCOUNT_INVITED: "invitations/service.py",
    NoticeKind.ACCOUNT_BLOCKED: "consent/service.py",
    NoticeKind.ACCOUNT_UNBLOCKED: "erasure/service.py",
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
    NoticeKind.ERASURE_DECIDED: "erasure/service.py",
    NoticeKind.BULK_READ: "rights/service.py",
    NoticeKind.UNKNOWN_IDS: "rights/service.py",
    NoticeKind.DEVICE_ADDED: "devices/service.py",
    NoticeKind.ROUTE_ALERT: "alerts/service.py",
    NoticeKind.INDIRECT_SOURCE: "invitations/service.py",
    NoticeKind.MARKETING_NEWS: "notices/service.py",
}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_of_notice_is_queued_by_what_is_said_here(kind: NoticeKind) -> None:
    assert call_sites(NoticeKind).get(kind) == {QUEUED_BY[kind]}


@pytest.mark.parametrize(
    ("words", "callers"),
    [
        ("role", {*Role, ShiftEnd.FORGOTTEN, ActorKind.API_TOKEN}),
        ("block_reason", BlockReason),
        ("consent_item", ConsentItem),
        ("outcome", Outcome),
        ("ground", Ground),
        ("document", Document),
        ("change", ChangeClass),
        ("alert", AlertKind),
    ],
)
def test_every_word_that_a_caller_has_is_in_the_list(words: str, callers: Iterable[str]) -> None:
    # One that is missing would make the act fail that tells of it: a withdrawal, a block.
    assert {str(one) for one in callers} <= WORDS[words]
