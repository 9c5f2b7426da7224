"""How old a driver may be, and who consented beside them while they may be a minor. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.kit.errors import Conflict, Invalid, NotFound

ADULT_AT: Final = 18
BIRTH_YEAR_MIN: Final = 1900
BIRTH_YEAR_MAX: Final = 2099


class Relation(StrEnum):
    """By what a person speaks for a minor."""

    PARENT = "parent"
    ADOPTIVE_PARENT = "adoptive_parent"
    GUARDIAN = "guardian"
    TRUSTEE = "trustee"


class Agreed(StrEnum):
    """How the guardian agreed."""

    IN_PERSON = "in_person"
    BY_PHONE = "by_phone"
    IN_WRITING = "in_writing"
    BY_MESSAGE = "by_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """What is known of a driver's age, and from which statement."""

    statement_id: UUID | None = None
    """None: nobody stated a year."""
    birth_year: int | None = field(default=None, repr=False)
    """None: nobody stated it, or its key is gone."""

    def may_be_minor(self, now: datetime, time_zone: str) -> bool:
        """Tell whether the person may not be of age yet.

        Only the year is known, so until its last day they may not have had their birthday: whoever
        *becomes* of age this year may still be a minor. A year that cannot be read says nothing
        better. Where no year was stated nobody is taken for a minor.
        """
        if self.statement_id is None:
            return False
        if self.birth_year is None:
            return True
        return now.astimezone(ZoneInfo(time_zone)).year - self.birth_year <= ADULT_AT


UNSTATED: Final = Age()


def refuse_implausible(birth_year: int, now: datetime) -> None:
    """Refuse the year of somebody who is not born yet.

    Raises
    ------
    BirthYearImplausible
    """
    if birth_year > now.year:
        raise BirthYearImplausible


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthYear:
    """A year as a member of staff stated it. Nobody verified it."""

    driver_id: UUID
    statement_id: UUID
    year_sealed: bytes = field(repr=False)
    stated_by: UUID
    stated_at: datetime
    disputed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedYear:
    """A year that is about to be stated. Sealed before anything is locked: that asks the keys."""

    age: Age
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianAgreement:
    """What a guardian said to whom, as it was entered."""

    guardian_name: str = field(repr=False)
    relation: Relation
    how: Agreed
    told_at: datetime
    document_reference: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAgreement:
    """An agreement that is about to be recorded, with its persons' texts sealed."""

    guardian_id: UUID
    agreement: GuardianAgreement
    name_sealed: bytes = field(repr=False)
    document_sealed: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianConsent:
    """The record in force of a guardian's agreement. It is no consent of the driver's."""

    guardian_id: UUID
    driver_id: UUID
    name_sealed: bytes = field(repr=False)
    relation: Relation
    how: Agreed
    told_at: datetime
    document_sealed: bytes | None = field(repr=False)
    recorded_by: UUID
    recorded_at: datetime
    controller_since: datetime | None
    """When another company last took over; None: never."""

    @property
    def is_to_company_before(self) -> bool:
        """Whether another company took over since: nothing new can rest on this record."""
        return self.controller_since is not None and self.recorded_at < self.controller_since


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedYear:
    """A stated year, readable."""

    year: int | None = field(repr=False)
    stated_by: str = field(repr=False)
    stated_at: datetime
    disputed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """The record in force, readable. Texts are empty where the key is gone."""

    guardian_id: UUID
    guardian_name: str = field(repr=False)
    relation: Relation
    how: Agreed
    told_at: datetime
    document_reference: str | None = field(repr=False)
    recorded_by: str = field(repr=False)
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeStanding:
    """All that is known of a driver's age, and what comes of it."""

    birth_year: StatedYear | None
    may_be_minor: bool
    guardian_consent: Guardian | None
    guardian_needed: bool
    """Whether the driver cannot consent to their location because a guardian did not agree."""


class BirthYearImplausible(Invalid):
    slug = "birth-year-implausible"
    title = "Nobody of this birth year is born yet"


class BirthYearMissing(NotFound):
    slug = "birth-year-not-found"
    title = "Nobody stated a birth year of this driver"


class AgeStatedMeanwhile(Conflict):
    slug = "age-stated-meanwhile"
    title = "The birth year was stated by another request just now"


class GuardianConsentNeeded(Conflict):
    slug = "guardian-consent-needed"
    title = "A guardian has to agree first"

    def __init__(self) -> None:
        super().__init__(
            "By the stated birth year the driver may be a minor. The company records the "
            "guardian's consent first."
        )


class GuardianConsentUnneeded(Conflict):
    slug = "guardian-consent-unneeded"
    title = "Nothing says that this driver may be a minor"

    def __init__(self) -> None:
        super().__init__("State the birth year first; of an adult no guardian is kept.")


class GuardianConsentThere(Conflict):
    slug = "guardian-consent-already-recorded"
    title = "A guardian's consent is recorded already"


class GuardianConsentMissing(NotFound):
    slug = "guardian-consent-not-found"
    title = "No guardian's consent is in force for this driver"


class GuardianConsentInFuture(Invalid):
    slug = "guardian-consent-in-future"
    title = "The guardian cannot have agreed yet"
