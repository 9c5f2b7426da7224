"""Every act that the ledger knows is written by something, and this says by what."""

from typing import Final

import pytest

from server.journal.model import NEGATIVE
from server.ledger.model import Act
from tests.call_sites import TOP, call_sites

WRITTEN_BY: Final[dict[Act, set[str]]] = {
    Act.CONSENT_REQUESTED: {"consent/acts.py"},
    Act.CONSENT_GIVEN: {"consent/acts.py"},
    Act.CONSENT_DECLINED: {"consent/acts.py"},
    Act.CONSENT_WITHDRAWN: {"consent/acts.py"},
    Act.CONSENT_EXPIRED: {"consent/acts.py"},
    Act.CONSENT_SUPERSEDED: {"consent/acts.py"},
    Act.CONSENT_INVALIDATED: {"consent/acts.py"},
    Act.PERMISSION_DENIED: {"devices/service.py"},
    Act.NOTICE_SENT: {"notices/preparing.py"},
    Act.NOTICE_ACKNOWLEDGED: {"devices/service.py", "notices/service.py"},
    Act.ATTESTATION_MADE: {"attestations/service.py"},
    Act.ATTESTATION_DISPUTED: {"attestations/service.py"},
    Act.BIRTH_YEAR_STATED: {"guardians/service.py"},
    Act.BIRTH_YEAR_DISPUTED: {"guardians/service.py"},
    Act.GUARDIAN_CONSENT_RECORDED: {"guardians/service.py"},
    Act.GUARDIAN_CONSENT_REVOKED: {"guardians/service.py"},
    Act.SHIFT_ENDED_BY_OTHER: {"shifts/service.py"},
    Act.MEMBER_BLOCKED: {"consent/service.py"},
    Act.MEMBER_UNBLOCKED: {"erasure/service.py"},
    Act.ERASURE_REQUESTED: {
        "erasure/service.py",
        "erasure/restoring.py",
        "winding_up/asking.py",
    },
    Act.ERASURE_DECIDED: {"erasure_decisions/service.py"},
    Act.ERASURE_CANCELLED: {"erasure/service.py"},
    Act.ERASURE_HELD: {"erasure/saga.py"},
    Act.HOLD_CHANGED: {"holds/service.py"},
    Act.ERASURE_GRACE_WAIVED: {"erasure_decisions/service.py"},
    Act.ERASURE_ANSWER_DAYS_SET: {"erasure_decisions/service.py"},
    Act.MEMBER_ERASED: {"erasure/saga.py"},
    Act.ERASURE_CERTIFIED: {"certificates/service.py"},
    Act.EXPORT_ASKED: {"exports/service.py"},
    Act.EXPORT_READY: {"exports/service.py"},
    Act.EXPORT_FETCHED: {"exports/service.py"},
    Act.EDITION_PUBLISHED: {"policies/service.py"},
    Act.EDITION_ACCEPTED: {"policies/service.py"},
    Act.CLARIFICATION_ASKED: {"clarifications/service.py"},
    Act.CLARIFICATION_ANSWERED: {"clarifications/service.py"},
    Act.CLARIFICATION_WITHDRAWN: {"clarifications/service.py"},
    Act.CONTROLLER_CHANGE_ANNOUNCED: {"controllers/service.py"},
    Act.CONTROLLER_CHANGE_CANCELLED: {"controllers/service.py"},
    Act.CONTROLLER_AGREED: {"controllers/service.py"},
    Act.CONTROLLER_CHANGED: {"controllers/service.py"},
    Act.LINK_CREATED: {"links/service.py"},
    Act.LINK_REVOKED: {"links/service.py"},
    Act.LOCATION_READ_BUCKET: {"reads/service.py"},
    Act.BULK_READ_ALERT: {"reads/alerts.py"},
    Act.UNKNOWN_IDS_ALERT: {"reads/alerts.py"},
    Act.READ_REFUSED: {"reads/service.py"},
    Act.AREA_SEARCHED: {"fleet_tracks/service.py"},
    Act.TRACKS_EXPIRED: {"retention/service.py"},
    Act.TRACK_DAYS_SET: {"retention/service.py"},
    Act.REPORT_DAYS_SET: {"reports/service.py"},
    Act.PLAN_DAYS_SET: {"retention/plans.py"},
    Act.DEVICE_REVOKED: {"credentials/service.py"},
    Act.API_TOKEN_REVOKED: {"credentials/service.py"},
    Act.SESSIONS_ENDED: {"credentials/service.py"},
    Act.SECOND_FACTOR_SET: {"second_factor/service.py"},
    Act.SECOND_FACTOR_REMOVED: {"second_factor/service.py"},
    Act.SECOND_FACTOR_REQUIRED_SET: {"second_factor/service.py"},
    Act.MEMBER_OFFBOARDED: {"life/service.py"},
    Act.MEMBER_TAKEN_BACK: {"life/service.py"},
    Act.PHONE_LOST: {"life/service.py"},
    Act.PASSWORD_CHANGED: {"passwords/service.py"},
    Act.IDLE_DAYS_SET: {"idle/service.py"},
    Act.DISCLOSURE_RECORDED: {"disclosures/service.py"},
    Act.DISCLOSURE_RELEASED: {"disclosures/service.py"},
    Act.DISCLOSURE_REFUSED: {"disclosures/service.py"},
    Act.DISCLOSURE_CANCELLED: {"disclosures/service.py"},
    Act.DISCLOSURE_FILE_MADE: {"disclosures/service.py"},
    Act.DISCLOSURE_UNSEALED: {"disclosures/service.py"},
    Act.INCIDENT_OPENED: {"incidents/service.py"},
    Act.INCIDENT_ASSESSED: {"incidents/service.py"},
    Act.INCIDENT_NOTIFIED: {"incidents/service.py"},
    Act.INCIDENT_OVERDUE: {"incidents/telling.py"},
    Act.INCIDENT_CLOSED: {"incidents/service.py"},
    Act.INCIDENT_DISMISSED: {"incidents/service.py"},
    Act.DATA_CORRECTED: {"corrections/service.py"},
    Act.TRACK_DELETED: {"track_deletion/service.py"},
    Act.PERSON_REQUEST_RECORDED: {"person_requests/service.py"},
    Act.PERSON_REQUEST_ANSWERED: {"person_requests/service.py"},
    Act.COMPANY_CLOSING: {"closure/service.py"},
    Act.COMPANY_KEPT_OPEN: {"closure/service.py"},
    Act.COMPANY_CLOSED: {"winding_up/service.py"},
    Act.RESTORED: {"backups/reconcile.py"},
}
LISTED_IN: Final[dict[str, set[Act]]] = {
    "incidents/affected.py": {Act.READ_REFUSED},
    "journal/model.py": {*NEGATIVE},
    "life/restoring.py": {Act.MEMBER_BLOCKED, Act.MEMBER_OFFBOARDED},
    "retention/restoring.py": {Act.PLAN_DAYS_SET, Act.REPORT_DAYS_SET, Act.TRACK_DAYS_SET},
}
"""Where acts are listed, and none is written: just these, so that one more is looked at."""
WRITES: Final = ("ledger.append(", ".enter(")


def listed(act: Act) -> set[str]:
    return {path for path, acts in LISTED_IN.items() if act in acts}


@pytest.mark.parametrize("act", Act)
def test_every_act_is_written_by_what_is_said_here(act: Act) -> None:
    assert call_sites(Act).get(act, set()) == WRITTEN_BY[act] | listed(act)


@pytest.mark.parametrize("path", sorted(LISTED_IN))
def test_where_acts_are_listed_nothing_is_written_to_the_ledger(path: str) -> None:
    text = (TOP / "server" / path).read_text()

    assert not any(how in text for how in WRITES)


@pytest.mark.parametrize("path", sorted(set().union(*WRITTEN_BY.values())))
def test_whatever_names_an_act_writes_to_the_ledger(path: str) -> None:
    text = (TOP / "server" / path).read_text()

    assert ".append(\n" in text or "service.enter(\n" in text


def test_control_a_comparison_with_an_act_writes_nothing() -> None:
    assert "Act.LOCATION_READ_BUCKET" in (TOP / "server/reads/closed.py").read_text()
    assert "reads/closed.py" not in call_sites(Act)[Act.LOCATION_READ_BUCKET]
