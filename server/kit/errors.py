"""The kinds of refusal. A feature subclasses one kind per rule it enforces."""

from typing import ClassVar, TypeVar

T = TypeVar("T")


class DomainError(Exception):
    """A rule said no. ``str(error)`` is shown to the caller: no secrets, no positions.

    Bugs and outages of our own are not domain errors; they stay ordinary exceptions and
    become a 500.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    retry_after_s: float | None = None
    """When the caller may try again, for the kinds where waiting helps."""

    def members(self) -> dict[str, object]:
        """Return the members of the problem beyond RFC 9457's own."""
        return {}


class Malformed(DomainError):
    """The bytes cannot be read as what they claim to be."""


class Unauthenticated(DomainError):
    """The caller did not prove who they are."""


class Refused(DomainError):
    """The caller may not do this."""


class NotFound(DomainError):
    """The thing does not exist, or the caller may not know that it does."""


class Gone(DomainError):
    """The thing existed and is over, and whoever asks may know that."""


class Conflict(DomainError):
    """The thing is not in a state that allows this."""


class TooLarge(DomainError):
    """More than a stated limit."""


class Unsupported(DomainError):
    """A content type or encoding that is not spoken here."""


class Invalid(DomainError):
    """The request is well formed but asks for something meaningless."""


class TooSlow(DomainError):
    """The caller did not finish in time."""


class TooMany(DomainError):
    """The caller asks more often than allowed."""


class Unavailable(DomainError):
    """Something this needs is down or full; nothing was changed."""


def there(found: T | None, missing: type[NotFound]) -> T:
    """Return what a store found; where it found nothing, raise what a service calls that."""
    if found is None:
        raise missing
    return found
