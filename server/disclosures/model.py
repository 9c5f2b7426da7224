"""What is given to somebody outside, on which ground and by whose word. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.credentials.model import Role
from server.kit import errors
from server.reads.model import bucket_of

SEAL_DAYS_MAX: Final = 365
"""No order of secrecy is kept for longer; counted from when the disclosure was recorded."""
KEPT: Final = timedelta(days=5 * 365)
"""So long the register keeps what was recorded. A seal ends years before."""
FILE_DAYS: Final = 7
"""For so many days after its release the file of a track can be made."""
HOME: Final = "KZ"
"""A recipient anywhere else needs the person's own consent."""


class Ground(StrEnum):
    """Why something is given to somebody outside. The list is closed; marketing is not in it."""

    CONSENT = "consent"
    """The person agreed to just this."""
    FUNCTIONALITY = "functionality"
    """The recipient serves a function that the person uses."""
    PURPOSE = "purpose"
    """It serves a purpose that the notices name, by a contract with the recipient."""
    CONTROLLER_CHANGE = "controller_change"
    """Another legal person takes the company over."""
    AUTHORITY = "authority"
    """A court or a body of the state demands it by law."""
    DEFENCE_OF_RIGHTS = "defence_of_rights"
    """The company claims a right, defends itself or looks into a breach of its terms."""


class Claim(StrEnum):
    """Which right is defended."""

    TERMS_VIOLATION = "terms_violation"
    LEGITIMATE_CLAIM = "legitimate_claim"
    INVESTIGATION = "investigation"


class Category(StrEnum):
    """What is given."""

    IDENTITY = "identity"
    CONTACT = "contact"
    WORK = "work"
    CONSENT = "consent"
    REPORT = "report"
    TRACK = "track"


class State(StrEnum):
    RECORDED = "recorded"
    RELEASED = "released"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Act(StrEnum):
    RECORD = "record"
    RELEASE = "release"
    REFUSE = "refuse"
    CANCEL = "cancel"


# (None, ...) is what nobody has recorded yet. A triple that is absent is refused.
TRANSITIONS: Final[Mapping[tuple[State | None, Act, Role], State]] = {
    (None, Act.RECORD, Role.DISPATCHER): State.RECORDED,
    (None, Act.RECORD, Role.MAIN_USER): State.RECORDED,
    (State.RECORDED, Act.RELEASE, Role.DISPATCHER): State.RELEASED,
    (State.RECORDED, Act.RELEASE, Role.MAIN_USER): State.RELEASED,
    (State.RECORDED, Act.REFUSE, Role.DISPATCHER): State.REFUSED,
    (State.RECORDED, Act.REFUSE, Role.MAIN_USER): State.REFUSED,
    (State.RECORDED, Act.CANCEL, Role.DISPATCHER): State.CANCELLED,
    (State.RECORDED, Act.CANCEL, Role.MAIN_USER): State.CANCELLED,
}
TWO_PERSONS: Final = frozenset({Ground.AUTHORITY, Ground.DEFENCE_OF_RIGHTS})
"""Where the person is not asked, nobody of the company decides alone."""
_STAFF: Final = frozenset({Role.DISPATCHER, Role.MAIN_USER})
RELEASERS: Final[Mapping[Ground, frozenset[Role]]] = {
    ground: frozenset({Role.MAIN_USER}) if ground is Ground.DEFENCE_OF_RIGHTS else _STAFF
    for ground in Ground
}

# What each ground must have on paper, beside the recipient.
REQUIRED: Final[Mapping[Ground, frozenset[str]]] = {
    Ground.CONSENT: frozenset({"document_number", "document_date"}),
    Ground.FUNCTIONALITY: frozenset({"service", "document_number", "document_date"}),
    Ground.PURPOSE: frozenset({"purpose", "document_number", "document_date"}),
    Ground.CONTROLLER_CHANGE: frozenset({"document_number", "document_date"}),
    Ground.AUTHORITY: frozenset({"document_number", "document_date", "legal_article"}),
    Ground.DEFENCE_OF_RIGHTS: frozenset({"claim", "case_id"}),
}
DEFAULT_CATEGORIES: Final = (Category.IDENTITY,)
"""What is given unless more is named: a track never goes along by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """To whom, and by which document. It names no person whose data are given."""

    recipient: str = field(repr=False)
    country: str
    document_number: str | None = field(default=None, repr=False)
    document_date: date | None = None
    legal_article: str | None = None
    service: str | None = None
    purpose: str | None = None
    claim: Claim | None = None
    case_id: str | None = field(default=None, repr=False)

    def text(self) -> str:
        """Return it as it is sealed."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def of_text(cls, text: str) -> "Evidence":
        found = json.loads(text)
        on, claim = found.pop("document_date"), found.pop("claim")
        return cls(
            **found,
            document_date=None if on is None else date.fromisoformat(on),
            claim=None if claim is None else Claim(claim),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDisclosure:
    """What somebody wants to give out."""

    driver_id: UUID
    ground: Ground
    categories: tuple[Category, ...]
    span: Span | None
    sealed_until: datetime | None
    evidence: Evidence
    given: str = field(repr=False)
    """What is given, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """As stored. What is given is sealed under the driver's key; the evidence is the company's."""

    disclosure_id: UUID
    driver_id: UUID | None
    """None once the driver was erased."""
    ground: Ground
    state: State
    categories: tuple[Category, ...]
    span: Span | None
    sealed_until: datetime | None
    recorded_at: datetime
    recorded_by: UUID | None
    decided_at: datetime | None = None
    decided_by: UUID | None = None
    told_at: datetime | None = None
    """When the driver's notice of it was queued; None while it is sealed, or nothing was given."""
    evidence_sealed: bytes = field(repr=False)
    given_sealed: bytes | None = field(repr=False)

    def is_sealed(self, now: datetime) -> bool:
        return self.sealed_until is not None and now < self.sealed_until


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file that was made for the recipient: as good as given."""

    file_id: UUID
    disclosure_id: UUID
    format: str
    positions: int
    size_bytes: int
    sha256: bytes
    made_at: datetime
    made_by: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDisclosure:
    """A disclosure as it is read. Names and words of who is erased are None."""

    disclosure: Disclosure
    evidence: Evidence = field(repr=False)
    given: str | None = field(repr=False)
    driver_name: str | None = field(repr=False)
    recorded_by: str | None = field(repr=False)
    decided_by: str | None = field(repr=False)
    files: tuple[MadeFile, ...]


def next_state(state: State | None, act: Act, role: Role) -> State:
    """Return what the disclosure becomes.

    Raises
    ------
    DisclosureActRefused
    """
    try:
        return TRANSITIONS[state, act, role]
    except KeyError:
        raise DisclosureActRefused(state, act) from None


def refuse_unfit(new: NewDisclosure, now: datetime) -> None:
    """Hold what is recorded to its ground.

    Raises
    ------
    DisclosureEvidenceMissing, DisclosureSealInvalid, DisclosureSpanMissing, DisclosureAbroad
    """
    missing = [name for name in sorted(REQUIRED[new.ground]) if getattr(new.evidence, name) is None]
    if missing:
        raise DisclosureEvidenceMissing(new.ground, missing)
    if new.evidence.country != HOME and new.ground is not Ground.CONSENT:
        raise DisclosureAbroad
    if new.span is None and Category.TRACK in new.categories:
        raise DisclosureSpanMissing
    if new.sealed_until is not None and not (
        new.ground is Ground.AUTHORITY
        and now < new.sealed_until <= now + timedelta(days=SEAL_DAYS_MAX)
    ):
        raise DisclosureSealInvalid


def refuse_releaser(found: Disclosure, by: UUID, role: Role, others: Collection[UUID]) -> None:
    """Let only whom the ground lets release; ``others`` may as well, beside who recorded it.

    Raises
    ------
    DisclosureReleaserUnfit, DisclosureNobodyElse, DisclosureSecondPerson
    """
    if role not in RELEASERS[found.ground]:
        raise DisclosureReleaserUnfit
    if found.ground not in TWO_PERSONS or found.recorded_by != by:
        return
    raise DisclosureSecondPerson if others else DisclosureNobodyElse


def hidden(
    sealed: Collection[tuple[datetime, UUID | None]],
    shown: Collection[tuple[datetime, UUID | None]],
) -> list[datetime]:
    """Return which reads are not told of yet, by when they were, of files that were made.

    Each file with when and by whom. A read stands for all of one viewer in five minutes: where a
    file that is not sealed was among them, it tells no more than that one does.
    """
    open_ones = {(bucket_of(at), by) for at, by in shown}
    return [at for at, by in sealed if (bucket_of(at), by) not in open_ones]


class DisclosureMissing(errors.NotFound):
    slug = "disclosure-not-found"
    title = "No such disclosure"


class DisclosureActRefused(errors.Conflict):
    slug = "disclosure-act-refused"
    title = "The disclosure cannot change that way"

    def __init__(self, state: State | None, act: Act) -> None:
        super().__init__(f"Cannot {act} a disclosure that is {state or 'not recorded'}.")


class DisclosureNotYours(errors.Refused):
    slug = "disclosure-not-yours"
    title = "Only whoever recorded a disclosure cancels it"

    def __init__(self) -> None:
        super().__init__("Others refuse it.")


class DisclosureSecondPerson(errors.Refused):
    slug = "disclosure-second-person"
    title = "Another person has to release it"

    def __init__(self) -> None:
        super().__init__("Whoever recorded a disclosure on this ground does not release it.")


class DisclosureNobodyElse(errors.Refused):
    slug = "disclosure-nobody-else"
    title = "There is nobody else who may release it"

    def __init__(self) -> None:
        super().__init__(
            "On this ground two persons of the company give something out. Add another main user "
            "or, where a dispatcher may release, a dispatcher: nothing replaces the second person."
        )


class DisclosureReleaserUnfit(errors.Refused):
    slug = "disclosure-main-user-releases"
    title = "A main user has to release it"


class DisclosureEvidenceMissing(errors.Invalid):
    slug = "disclosure-evidence-missing"
    title = "The ground lacks its evidence"

    def __init__(self, ground: Ground, missing: Collection[str]) -> None:
        super().__init__(f"The ground {ground} needs {', '.join(missing)}.")


class DisclosureSealInvalid(errors.Invalid):
    slug = "disclosure-seal-invalid"
    title = "It cannot be sealed until then"

    def __init__(self) -> None:
        super().__init__(
            f"Only what an authority demands, and for at most {SEAL_DAYS_MAX} days from now."
        )


class DisclosureSpanMissing(errors.Invalid):
    slug = "disclosure-span-missing"
    title = "A track is given of a span of time"


class DisclosureAbroad(errors.Invalid):
    slug = "disclosure-abroad"
    title = "The recipient is in another country"

    def __init__(self) -> None:
        super().__init__(f"Outside {HOME} it needs the person's own consent: the ground consent.")


class DisclosureFileNotThere(errors.Conflict):
    slug = "disclosure-file-not-there"
    title = "There is no file of this disclosure"

    def __init__(self) -> None:
        super().__init__(
            f"It is made of a track that was released, for {FILE_DAYS} days, while the driver is "
            "a member."
        )


class DisclosureNotShared(errors.Conflict):
    slug = "disclosure-not-shared"
    title = "The driver does not share their track"

    def __init__(self) -> None:
        super().__init__("Without the consent to plan versus fact only an authority is given it.")
