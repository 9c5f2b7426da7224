"""Every act that the ledger knows is written by something, and this says by what."""

from typing import Final

import pytest

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
    Act.ERASURE_REQUESTED: {"erasure/service.py", "erasure/restoring.py"},
    Act.ERASURE_DECIDED: {"erasure/service.py"},
    Act.ERASURE_CANCELLED: {"erasure/service.py"},
    Act.MEMBER_ERASED: {"erasure/saga.py"},
    Act.ERASURE_CERTIFIED: {"certificates/service.py"},
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
    Act.RESTORED: {"backups/reconcile.py"},
}
LISTED_IN: Final = {"journal/model.py", "retention/restoring.py"}
"""Where acts are listed, and none is written."""


@pytest.mark.parametrize("act", Act)
def test_every_act_is_written_by_what_is_said_here(act: Act) -> None:
    assert call_sites(Act).get(act, set()) - LISTED_IN == WRITTEN_BY[act]


@pytest.mark.parametrize("path", sorted(set().union(*WRITTEN_BY.values())))
def test_whatever_names_an_act_writes_to_the_ledger(path: str) -> None:
    assert ".append(\n" in (TOP / "server" / path).read_text()


def test_control_a_comparison_with_an_act_writes_nothing() -> None:
    assert "Act.LOCATION_READ_BUCKET" in (TOP / "server/reads/closed.py").read_text()
    assert "reads/closed.py" not in call_sites(Act)[Act.LOCATION_READ_BUCKET]
