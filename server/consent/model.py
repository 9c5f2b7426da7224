"""What a driver agreed to. Pure: one table for every consent, who may do what, and the values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from server.accounts.model import Locale
from server.gate.model import GateItem, Reach, Source
from server.kit.errors import Conflict, Invalid, NotFound
from server.kit.wire import rfc3339
from server.policies.model import Document, Edition

VALID_FOR: Final = timedelta(days=365)
"""How long a consent holds before it has to be given anew."""
RENEWABLE_FOR: Final = timedelta(days=31)
"""How long before its end a consent can be given again, so that it goes on.

A day longer than the first notice of it comes before: that names whatever ends on one day, and asks
for nothing that would still be refused.
"""


class ConsentItem(StrEnum):
    """What is asked for, each by itself: the location, what it may be used for, and messages."""

    LOCATION = "location"
    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"
    CUSTOMER_LINK = "customer_link"
    NOTIFICATIONS = "notifications"
    MARKETING = "marketing"


GATE_ITEMS: Final[Mapping[ConsentItem, GateItem]] = {
    ConsentItem(one.value): one for one in GateItem
}
"""Those that bind positions: only their changes move the gate and its epoch."""
OF_MESSAGES: Final = frozenset({ConsentItem.NOTIFICATIONS, ConsentItem.MARKETING})
USING_LOCATION: Final = frozenset({*GATE_ITEMS, ConsentItem.CUSTOMER_LINK})
"""The location and whatever needs it: what a minor does not give alone."""


class ConsentState(StrEnum):
    NOT_ASKED = "not_asked"
    REQUESTED = "requested"
    GIVEN = "given"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated"


class ConsentAct(StrEnum):
    REQUEST = "request"
    GIVE = "give"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    SUPERSEDE = "supersede"
    INVALIDATE = "invalidate"


class ConsentActor(StrEnum):
    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    MAIN_USER = "main_user"
    SYSTEM = "system"
    ERASURE = "erasure"
    """A request for erasure is a withdrawal as well, whoever asked."""


# A pair that is absent is refused. One that leads nowhere is done already: what is sent again,
# because its answer was lost, must not look failed; nothing more is recorded. Who said no is not
# asked again: `request` leads nowhere from `declined` and `withdrawn`.
CONSENT_TRANSITIONS: Final[Mapping[tuple[ConsentState, ConsentAct], ConsentState]] = {
    (ConsentState.NOT_ASKED, ConsentAct.REQUEST): ConsentState.REQUESTED,
    (ConsentState.NOT_ASKED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.NOT_ASKED, ConsentAct.DECLINE): ConsentState.DECLINED,
    (ConsentState.REQUESTED, ConsentAct.REQUEST): ConsentState.REQUESTED,
    (ConsentState.REQUESTED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.REQUESTED, ConsentAct.DECLINE): ConsentState.DECLINED,
    (ConsentState.GIVEN, ConsentAct.WITHDRAW): ConsentState.WITHDRAWN,
    (ConsentState.GIVEN, ConsentAct.EXPIRE): ConsentState.EXPIRED,
    (ConsentState.GIVEN, ConsentAct.SUPERSEDE): ConsentState.SUPERSEDED,
    (ConsentState.GIVEN, ConsentAct.INVALIDATE): ConsentState.INVALIDATED,
    (ConsentState.DECLINED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.WITHDRAWN, ConsentAct.WITHDRAW): ConsentState.WITHDRAWN,
    (ConsentState.WITHDRAWN, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.EXPIRED, ConsentAct.REQUEST): ConsentState.REQUESTED,
    (ConsentState.EXPIRED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.EXPIRED, ConsentAct.DECLINE): ConsentState.DECLINED,
    (ConsentState.SUPERSEDED, ConsentAct.REQUEST): ConsentState.REQUESTED,
    (ConsentState.SUPERSEDED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.SUPERSEDED, ConsentAct.DECLINE): ConsentState.DECLINED,
    (ConsentState.INVALIDATED, ConsentAct.REQUEST): ConsentState.REQUESTED,
    (ConsentState.INVALIDATED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.INVALIDATED, ConsentAct.DECLINE): ConsentState.DECLINED,
}

# Nobody but the driver gives, declines or withdraws; nobody at all gives for them.
WHO_MAY: Final[Mapping[ConsentAct, frozenset[ConsentActor]]] = {
    ConsentAct.REQUEST: frozenset(
        {ConsentActor.DISPATCHER, ConsentActor.MAIN_USER, ConsentActor.SYSTEM}
    ),
    ConsentAct.GIVE: frozenset({ConsentActor.DRIVER}),
    ConsentAct.DECLINE: frozenset({ConsentActor.DRIVER}),
    ConsentAct.WITHDRAW: frozenset({ConsentActor.DRIVER, ConsentActor.ERASURE}),
    ConsentAct.EXPIRE: frozenset({ConsentActor.SYSTEM}),
    # The driver by giving again on other terms, the system when an edition adds a purpose.
    ConsentAct.SUPERSEDE: frozenset({ConsentActor.DRIVER, ConsentActor.SYSTEM}),
    # The driver by disputing what an administrator attested.
    ConsentAct.INVALIDATE: frozenset({ConsentActor.DRIVER, ConsentActor.SYSTEM}),
}


class LocationScope(StrEnum):
    ON_SHIFT = "on_shift"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationTerms:
    """What the consent to location covers."""

    scope: LocationScope = LocationScope.ON_SHIFT
    sources: frozenset[Source] = frozenset(Source)
    background: bool = True
    """Also while the app is not on the screen."""

    @property
    def reach(self) -> Reach:
        return Reach(
            always=self.scope is LocationScope.ALWAYS,
            sources=self.sources,
            background=self.background,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeShown:
    """Which text of the driver notice was read before answering."""

    edition: int
    language: Locale
    sha256: str
    """Of that very text, in hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A driver's electronic signature over the text shown: its hash alone; the file is theirs."""

    format: str
    sha256: str
    """Of the detached signature's file, in hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the driver answers to one question."""

    item: ConsentItem
    act: ConsentAct
    notice: NoticeShown
    terms: LocationTerms | None = None
    """Of a location that is given; None: as the notice says, on shift and of every source."""
    signature: Signature | None = None
    """Only of what is given."""
    epoch: int | None = None
    """The epoch the driver was shown, if the answer is only meant for that."""

    @property
    def gives_location(self) -> bool:
        return self.act is ConsentAct.GIVE and self.item is ConsentItem.LOCATION

    @property
    def gives_use_of_location(self) -> bool:
        return self.act is ConsentAct.GIVE and self.item in USING_LOCATION

    @property
    def terms_given(self) -> LocationTerms | None:
        return (self.terms or LocationTerms()) if self.gives_location else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One act, as recorded; the highest version of an item is in force."""

    driver_id: UUID
    item: ConsentItem
    version: int
    record_id: UUID
    state: ConsentState
    actor: ConsentActor
    epoch: int
    recorded_at: datetime
    notice: NoticeShown | None = None
    terms: LocationTerms | None = None
    valid_until: datetime | None = None
    held_since: datetime | None = None
    """Since when it is given, where it went on: renewed, or under another controller."""
    record: str | None = field(default=None, repr=False)
    """The whole record as canonical JSON; None in what is older than records."""
    record_sha256: bytes | None = None
    nonce: bytes | None = field(default=None, repr=False)
    ledger_index: int | None = None

    @property
    def given_at(self) -> datetime | None:
        """Since when it is given; None of any other act."""
        if self.state is not ConsentState.GIVEN:
            return None
        return self.recorded_at if self.held_since is None else self.held_since


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCell:
    """What is in force for one item."""

    item: ConsentItem
    decision: Consent | None

    @property
    def state(self) -> ConsentState:
        return ConsentState.NOT_ASKED if self.decision is None else self.decision.state

    @property
    def is_given(self) -> bool:
        return self.state is ConsentState.GIVEN

    def has_run_out(self, at: datetime) -> bool:
        """Tell whether it is given and its time is over: nobody wrote down yet that it expired."""
        return self.valid_until is not None and self.valid_until <= at

    def is_given_otherwise(self, answered: Answer) -> bool:
        """Tell whether it is given, but by another notice or on other terms."""
        given = self.decision if self.is_given else None
        asked = (answered.notice, answered.terms_given)
        return given is not None and (given.notice, given.terms) != asked

    def is_renewed_by(self, answered: Answer, at: datetime) -> bool:
        """Tell whether the answer gives again, near its end, what is given already.

        That is what the same edition says, in whatever language, on the same terms.

        Raises
        ------
        ConsentRenewalEarly
            It would renew it word for word, but its end is not near.
        """
        given = self.decision if self.is_given and answered.act is ConsentAct.GIVE else None
        if given is None or given.valid_until is None or given.notice is None:
            return False
        renewable_from = given.valid_until - RENEWABLE_FOR
        if at < renewable_from:
            if self.is_given_otherwise(answered):
                return False
            raise ConsentRenewalEarly(renewable_from)
        said = (given.notice.edition, given.terms)
        return said == (answered.notice.edition, answered.terms_given)

    def is_given_before(self, edition: Edition) -> bool:
        """Tell whether it is given, but not with the edition in force."""
        if self.decision is None or not self.is_given:
            return False
        notice = self.decision.notice
        if edition.document is Document.DRIVER_NOTICE and notice is not None:
            return notice.edition < edition.edition
        # Of the other documents a consent does not name the edition. It runs from the last answer.
        until = self.decision.valid_until
        answered_at = self.decision.recorded_at if until is None else until - VALID_FOR
        return answered_at < edition.effective_at

    @property
    def changed_at(self) -> datetime | None:
        return None if self.decision is None else self.decision.recorded_at

    @property
    def given_at(self) -> datetime | None:
        """Since when it is given; None when it is not given now."""
        return None if self.decision is None else self.decision.given_at

    @property
    def valid_until(self) -> datetime | None:
        """When it runs out; None when it is not given now."""
        return self.decision.valid_until if self.decision and self.is_given else None

    @property
    def terms(self) -> LocationTerms | None:
        """What a given consent to location covers."""
        return self.decision.terms if self.decision and self.is_given else None


Cells = Mapping[ConsentItem, ConsentCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consents:
    """All cells of a driver and what comes of them."""

    items: tuple[ConsentCell, ...]
    epoch: int
    gate_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    items: tuple[Consent, ...]
    next_cursor: str | None


class Standing(NamedTuple):
    """How one of a driver's consents stands."""

    given_at: datetime | None
    """None when it is not given."""
    taken_back_at: datetime | None
    """When the driver last withdrew or disputed it."""


def next_consent(state: ConsentState, act: ConsentAct, actor: ConsentActor) -> ConsentState:
    """Return what the consent becomes.

    Raises
    ------
    ConsentActionRefused
    """
    try:
        after = CONSENT_TRANSITIONS[state, act]
    except KeyError:
        raise ConsentActionRefused(state, act) from None
    if actor not in WHO_MAY[act]:
        raise ConsentActionRefused(state, act)
    return after


class ConsentActionRefused(Conflict):
    slug = "consent-action-refused"
    title = "Consent cannot change that way"

    def __init__(self, state: ConsentState, act: ConsentAct) -> None:
        super().__init__(f"Cannot {act} a consent that is {_words(state)}.")


class ConsentRenewalEarly(ConsentActionRefused):
    slug = "consent-renewal-early"
    title = "The consent is given, and its end is not near"

    def __init__(self, renewable_from: datetime) -> None:
        Conflict.__init__(self, f"It can be given again from {rfc3339(renewable_from)}.")


class ConsentChangedMeanwhile(Conflict):
    slug = "consent-changed-meanwhile"
    title = "The consent was changed by another request just now"


class NoticeOutdated(Conflict):
    slug = "notice-outdated"
    title = "Another notice is in force"

    def __init__(self) -> None:
        super().__init__("Show the driver notice that is in force, then ask again.")


class ConsentTermsMisplaced(Invalid):
    slug = "consent-terms-misplaced"
    title = "Only a given consent to location has scope, sources and background"


class SignatureMisplaced(Invalid):
    slug = "signature-misplaced"
    title = "Only a consent that is given has a signature"


class ConsentRecordIncomplete(Invalid):
    """The law names what a consent has to say; without it, it is none."""

    slug = "consent-record-incomplete"
    title = "The consent would lack what the law asks for"

    def __init__(self, places: tuple[str, ...]) -> None:
        self.places = places
        super().__init__(
            f"Missing: {', '.join(places)}. The company states its business number and its "
            "privacy contact first."
        )


class ConsentRecordMissing(NotFound):
    slug = "consent-record-not-found"
    title = "No such consent record"


def _words(state: ConsentState) -> str:
    return state.value.replace("_", " ")
