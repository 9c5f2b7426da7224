"""What each kind of notice is for, where it may go, and what its text needs to know."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from server.notice_kinds.kinds import (
    MARKETING_CHANNELS,
    Category,
    Channel,
    Form,
    Kind,
    NoticeKind,
    Value,
)

_EMAIL, _SMS, _PUSH = MARKETING_CHANNELS
_INSTANT: Final = Value(Form.INSTANT)
_ORGANISATION: Final = Value(Form.ORGANISATION)
_MEMBER: Final = Value(Form.MEMBER)
_ITEMS: Final = Value(Form.WORDS, "consent_item")
_ROLE: Final = Value(Form.WORD, "role")
_ALERT: Final = {
    "by_role": _ROLE,
    "by": Value(Form.MEMBER, optional=True),
    "count": Value(Form.CODE),
    "at": _INSTANT,
}
# Which question, and never what it says.
_ASKED: Final = {
    "document": Value(Form.WORD, "document"),
    "edition": Value(Form.CODE),
    "asked_at": _INSTANT,
}

_WAITING: Final = {
    "driver": _MEMBER,
    "request": Value(Form.WORD, "request"),
    "answer_by": _INSTANT,
}


_DUE: Final = {
    "step": Value(Form.WORD, "incident_step"),
    "noticed_at": _INSTANT,
    "due_at": _INSTANT,
}


def _service(*channels: Channel, **values: Value) -> Kind:
    return Kind(Category.SERVICE, (Channel.IN_APP, *channels), values)


KINDS: Final[Mapping[NoticeKind, Kind]] = MappingProxyType(
    {
        # Who is invited cannot open the app yet.
        NoticeKind.ACCOUNT_INVITED: _service(_EMAIL, _SMS, by=_MEMBER, expires_at=_INSTANT),
        NoticeKind.ACCOUNT_BLOCKED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            by_role=_ROLE,
            reason=Value(Form.WORD, "block_reason"),
            # The number of an authority's order, where it was one.
            order=Value(Form.CODE, optional=True),
            # Absent in what was queued before it was told.
            lifting=Value(Form.WORD, "lifting", optional=True),
        ),
        NoticeKind.ACCOUNT_UNBLOCKED: _service(_EMAIL, _PUSH, by_role=_ROLE),
        # Push goes to the very phones that are disconnected.
        NoticeKind.ACCOUNT_OFFBOARDED: _service(
            _EMAIL,
            _SMS,
            by_role=_ROLE,
            reason=Value(Form.WORD, "block_reason"),
            reads_until=_INSTANT,
        ),
        # Whoever found the phone reads its messages as well: there is nothing in it for them.
        NoticeKind.PHONE_LOST: _service(_EMAIL, _SMS, by_role=_ROLE, reported_at=_INSTANT),
        NoticeKind.ACCOUNT_UNUSED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            reason=Value(Form.WORD, "block_reason"),
            keeping=Value(Form.WORD, "keeping"),
            until=Value(Form.DAY),
        ),
        NoticeKind.PASSWORD_CHANGED: _service(_EMAIL, _SMS, _PUSH, changed_at=_INSTANT),
        NoticeKind.SHIFT_REMINDER: _service(_PUSH, ends_at=_INSTANT),
        NoticeKind.SHIFT_ENDED_BY_OTHER: _service(
            _EMAIL,
            _PUSH,
            by_role=_ROLE,
            ended_at=_INSTANT,
            # Absent in what was queued before it was told.
            recording=Value(Form.WORD, "recording", optional=True),
        ),
        NoticeKind.CONSENT_WITHDRAWN_CONFIRMATION: _service(
            _EMAIL, items=_ITEMS, withdrawn_at=_INSTANT
        ),
        NoticeKind.CONSENT_REQUESTED: _service(
            _EMAIL,
            _PUSH,
            items=_ITEMS,
            # Of the edition that ended what was given; absent where a member of staff asks.
            document=Value(Form.WORD, "document", optional=True),
            edition=Value(Form.CODE, optional=True),
        ),
        NoticeKind.CONSENT_EXPIRING: _service(_EMAIL, _PUSH, items=_ITEMS, until=Value(Form.DAY)),
        NoticeKind.CONSENT_ENDED: _service(_EMAIL, _PUSH, items=_ITEMS),
        NoticeKind.EDITION_PUBLISHED: _service(
            _EMAIL,
            _PUSH,
            document=Value(Form.WORD, "document"),
            edition=Value(Form.CODE),
            change=Value(Form.WORD, "change"),
            effective_at=Value(Form.DAY),
        ),
        NoticeKind.CLARIFICATION_ASKED: _service(_EMAIL, **_ASKED),
        NoticeKind.CLARIFICATION_ANSWERED: _service(_EMAIL, _PUSH, **_ASKED),
        NoticeKind.CONTROLLER_CHANGE_ANNOUNCED: _service(
            _EMAIL,
            _PUSH,
            name=_ORGANISATION,
            bin=Value(Form.CODE),
            effective_at=Value(Form.DAY),
            contact=_ORGANISATION,
        ),
        NoticeKind.CONTROLLER_CHANGE_CANCELLED: _service(
            _EMAIL, _PUSH, name=_ORGANISATION, effective_at=Value(Form.DAY)
        ),
        NoticeKind.CONTROLLER_CHANGED: _service(
            _EMAIL,
            _PUSH,
            name=_ORGANISATION,
            bin=Value(Form.CODE),
            kept=Value(Form.WORDS, "consent_item", optional=True),
            lapsed=Value(Form.WORDS, "consent_item", optional=True),
        ),
        NoticeKind.ATTESTATION_MADE: _service(_EMAIL, by=_MEMBER, told_at=_INSTANT),
        NoticeKind.ATTESTATION_DISPUTED: _service(_EMAIL, driver=_MEMBER, disputed_at=_INSTANT),
        NoticeKind.BIRTH_YEAR_STATED: _service(_EMAIL, _PUSH, by=_MEMBER, stated_at=_INSTANT),
        NoticeKind.BIRTH_YEAR_DISPUTED: _service(_EMAIL, driver=_MEMBER, disputed_at=_INSTANT),
        NoticeKind.GUARDIAN_CONSENT_RECORDED: _service(_EMAIL, by=_MEMBER, told_at=_INSTANT),
        NoticeKind.GUARDIAN_CONSENT_REVOKED: _service(
            _EMAIL, _PUSH, by=_MEMBER, revoked_at=_INSTANT
        ),
        # Nobody did it: another company took over.
        NoticeKind.GUARDIAN_CONSENT_LAPSED: _service(_EMAIL, _PUSH, ended_at=_INSTANT),
        NoticeKind.ERASURE_REQUESTED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            by_role=_ROLE,
            requested_at=_INSTANT,
            grace_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.ERASURE_DECIDED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            outcome=Value(Form.WORD, "outcome"),
            ground=Value(Form.WORD, "ground", optional=True),
            categories=Value(Form.WORDS, "data_category", optional=True),
            until=Value(Form.DAY, optional=True),
            grace_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.DISCLOSURE_WAITING: _service(
            _EMAIL,
            _PUSH,
            by=_MEMBER,
            ground=Value(Form.WORD, "disclosure_ground"),
            recorded_at=_INSTANT,
        ),
        # To whom stands in the register alone: a notice holds no name of a recipient.
        NoticeKind.DISCLOSURE_MADE: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            ground=Value(Form.WORD, "disclosure_ground"),
            released_at=_INSTANT,
            sealed_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.INCIDENT_OPENED: _service(
            _EMAIL, _SMS, _PUSH, by_role=_ROLE, noticed_at=_INSTANT, due_at=_INSTANT
        ),
        NoticeKind.INCIDENT_DUE: _service(_EMAIL, _SMS, _PUSH, **_DUE),
        NoticeKind.INCIDENT_OVERDUE: _service(_EMAIL, _SMS, _PUSH, **_DUE),
        NoticeKind.INCIDENT_AFFECTED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            cause=Value(Form.WORD, "incident_cause"),
            noticed_at=_INSTANT,
            since=_INSTANT,
            until=_INSTANT,
            categories=Value(Form.WORDS, "data_category"),
            consequences=Value(Form.WORDS, "consequence"),
            advice=Value(Form.WORDS, "advice"),
            contact=_ORGANISATION,
        ),
        NoticeKind.EXPORT_READY: _service(_EMAIL, _PUSH, asked_at=_INSTANT, expires_at=_INSTANT),
        NoticeKind.ERASURE_TO_DECIDE: _service(
            _EMAIL,
            _PUSH,
            driver=_MEMBER,
            by_role=_ROLE,
            answer_by=_INSTANT,
            # What silence will be.
            outcome=Value(Form.WORD, "outcome"),
        ),
        NoticeKind.ERASURE_HELD: _service(
            _EMAIL, _SMS, categories=Value(Form.WORDS, "data_category"), until=Value(Form.DAY)
        ),
        NoticeKind.HOLD_CHANGED: _service(
            _EMAIL,
            _PUSH,
            driver=_MEMBER,
            category=Value(Form.WORD, "data_category"),
            state=Value(Form.WORD, "hold_state"),
            ground=Value(Form.WORD, "ground", optional=True),
            until=Value(Form.DAY, optional=True),
        ),
        NoticeKind.HOLD_ENDING: _service(
            _EMAIL,
            _PUSH,
            driver=_MEMBER,
            category=Value(Form.WORD, "data_category"),
            until=Value(Form.DAY),
        ),
        NoticeKind.BULK_READ: _service(_EMAIL, _PUSH, **_ALERT),
        NoticeKind.UNKNOWN_IDS: _service(_EMAIL, _PUSH, **_ALERT),
        NoticeKind.DEVICE_ADDED: _service(_EMAIL, _PUSH, added_at=_INSTANT),
        NoticeKind.SECOND_FACTOR_SET: _service(_EMAIL, _PUSH, set_at=_INSTANT),
        NoticeKind.SECOND_FACTOR_REMOVED: _service(
            _EMAIL, _SMS, _PUSH, by_role=_ROLE, removed_at=_INSTANT
        ),
        NoticeKind.LOG_INS_FAILED: _service(_EMAIL, _PUSH, failed_at=_INSTANT),
        NoticeKind.CODES_GUESSED: _service(_EMAIL, _SMS, _PUSH, guessed_at=_INSTANT),
        # No e-mail: one for each would bury those that matter.
        NoticeKind.ROUTE_ALERT: _service(
            _PUSH, alert=Value(Form.WORD, "alert"), driver=_MEMBER, raised_at=_INSTANT
        ),
        NoticeKind.INDIRECT_SOURCE: _service(
            _EMAIL, by=_MEMBER, fields=Value(Form.WORDS, "field"), entered_at=_INSTANT
        ),
        NoticeKind.DATA_CORRECTED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            # Absent where the person did it, or whoever it was is gone.
            by=Value(Form.MEMBER, optional=True),
            fields=Value(Form.WORDS, "field"),
            corrected_at=_INSTANT,
        ),
        NoticeKind.CONTACT_CHANGE_ASKED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            by=Value(Form.MEMBER, optional=True),
            field=Value(Form.WORD, "field"),
            asked_at=_INSTANT,
        ),
        # Never in the app: whoever reads it there has proved nothing about the new address.
        NoticeKind.CONTACT_CODE: Kind(
            Category.SERVICE,
            (_EMAIL, _SMS),
            {
                "field": Value(Form.WORD, "field"),
                "code": Value(Form.SECRET),
                "expires_at": _INSTANT,
            },
        ),
        # Nor this: whoever is logged in needs none.
        NoticeKind.PASSWORD_CODE: Kind(
            Category.SERVICE, (_EMAIL, _SMS), {"code": Value(Form.SECRET), "expires_at": _INSTANT}
        ),
        NoticeKind.PERSON_REQUEST_RECORDED: _service(
            _EMAIL,
            _PUSH,
            by=_MEMBER,
            request=Value(Form.WORD, "request"),
            came_by=Value(Form.WORD, "came_by"),
            received_at=_INSTANT,
            answer_by=_INSTANT,
        ),
        NoticeKind.PERSON_REQUEST_ANSWERED: _service(
            _EMAIL, _PUSH, by=_MEMBER, request=Value(Form.WORD, "request"), answered_at=_INSTANT
        ),
        NoticeKind.PERSON_REQUEST_DUE: _service(_EMAIL, _PUSH, **_WAITING),
        NoticeKind.PERSON_REQUEST_OVERDUE: _service(_EMAIL, _PUSH, **_WAITING),
        NoticeKind.COMPANY_CLOSING: _service(_EMAIL, _SMS, _PUSH, closes_at=Value(Form.DAY)),
        NoticeKind.COMPANY_STAYS: _service(_EMAIL, _SMS, _PUSH, closes_at=Value(Form.DAY)),
        NoticeKind.COMPANY_CLOSED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            closed_at=Value(Form.DAY),
            # Absent of staff, and of drivers who are erased at once.
            grace_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.MARKETING_NEWS: Kind(
            Category.MARKETING,
            MARKETING_CHANNELS,
            {"headline": Value(Form.PROSE), "message": Value(Form.PROSE)},
        ),
    }
)

OF_TRACKS: Final = frozenset({NoticeKind.ROUTE_ALERT})
"""Those that tell how somebody drove: they go with the consent which that rests on."""

OF_SECRETS: Final = frozenset(
    kind
    for kind, one in KINDS.items()
    if any(value.form is Form.SECRET for value in one.values.values())
)
"""Those whose text lets whoever has it do something: it is given out nowhere but where it went."""

OF_INCIDENTS: Final = frozenset(
    {NoticeKind.INCIDENT_OPENED, NoticeKind.INCIDENT_DUE, NoticeKind.INCIDENT_AFFECTED}
)
"""Those that tell of an incident to whom it concerns: who they went to is for main users alone."""
