"""Questions of members about an edition of a policy, and their answers. Pure."""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.accounts.model import Locale
from server.kit import errors
from server.kit.cursors import CursorInvalid
from server.policies.model import Document

OPEN_MAX: Final = 20
"""How many questions of one member may wait for an answer; the table numbers them so far."""
TEXT_CHARS_MAX: Final = 2_000


class ClarificationState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    """By whoever asked. The company does not see it any more."""


class ClarificationAct(StrEnum):
    ANSWER = "answer"
    WITHDRAW = "withdraw"


# A pair that is absent is refused. One that leads nowhere is done already: what is sent again,
# because its answer was lost, must not look failed.
TRANSITIONS: Final[Mapping[tuple[ClarificationState, ClarificationAct], ClarificationState]] = {
    (ClarificationState.OPEN, ClarificationAct.ANSWER): ClarificationState.ANSWERED,
    (ClarificationState.OPEN, ClarificationAct.WITHDRAW): ClarificationState.WITHDRAWN,
    (ClarificationState.WITHDRAWN, ClarificationAct.WITHDRAW): ClarificationState.WITHDRAWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a member asks, and of which text."""

    document: Document
    edition: int
    language: Locale
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarification:
    """A question as stored. Its texts are sealed under the key of whoever asked."""

    clarification_id: UUID
    member_id: UUID
    document: Document
    edition: int
    language: Locale
    """Of the text that was shown, which may be another than was asked for."""
    state: ClarificationState
    asked_at: datetime
    closed_at: datetime | None = None
    """When it was answered or withdrawn."""
    answered_by: UUID | None = None
    """None until it is answered, and again once whoever answered was erased."""
    question_sealed: bytes = field(repr=False)
    answer_sealed: bytes | None = field(default=None, repr=False)

    @property
    def answered_at(self) -> datetime | None:
        return self.closed_at if self.state is ClarificationState.ANSWERED else None

    @property
    def withdrawn_at(self) -> datetime | None:
        return self.closed_at if self.state is ClarificationState.WITHDRAWN else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownClarification:
    """A question as it is read. Texts and names of who is being erased are empty."""

    clarification: Clarification
    question: str = field(repr=False)
    answer: str | None = field(repr=False)
    asked_by: str = field(repr=False)
    answered_by: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a question stands in the list of those that are open first, by time."""

    closed: bool
    clarification_id: UUID

    @classmethod
    def of(cls, one: Clarification) -> "Place":
        closed = one.state is not ClarificationState.OPEN
        return cls(closed=closed, clarification_id=one.clarification_id)

    def cursor(self) -> str:
        """Return it as an opaque text."""
        raw = bytes([self.closed]) + self.clarification_id.bytes
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


FIRST: Final = Place(closed=False, clarification_id=UUID(int=0))


def place_of(cursor: str | None) -> Place:
    """Return the place to go on after.

    Raises
    ------
    CursorInvalid
    """
    if cursor is None:
        return FIRST
    try:
        raw = base64.b64decode(cursor + "=", altchars=b"-_", validate=True)
        found = Place(closed=bool(raw[0]), clarification_id=UUID(bytes=raw[1:]))
    except (binascii.Error, ValueError, IndexError):
        raise CursorInvalid from None
    if found.cursor() != cursor:
        raise CursorInvalid
    return found


def free_slot(taken: Collection[int]) -> int | None:
    """Return the first number that no open question of the member has; None if all are taken."""
    return next((slot for slot in range(1, OPEN_MAX + 1) if slot not in taken), None)


def next_state(state: ClarificationState, act: ClarificationAct) -> ClarificationState:
    """Return what the question becomes.

    Raises
    ------
    ClarificationActRefused
    """
    try:
        return TRANSITIONS[state, act]
    except KeyError:
        raise ClarificationActRefused(state, act) from None


def refuse_blank(text: str) -> None:
    """Refuse a text of spaces alone.

    Raises
    ------
    ClarificationBlank
    """
    if not text.strip():
        raise ClarificationBlank


class ClarificationMissing(errors.NotFound):
    slug = "clarification-not-found"
    title = "No such question"


class ClarificationActRefused(errors.Conflict):
    slug = "clarification-act-refused"
    title = "The question cannot change that way"

    def __init__(self, state: ClarificationState, act: ClarificationAct) -> None:
        super().__init__(f"Cannot {act} a question that is {state}.")


class ClarificationsTooMany(errors.Conflict):
    slug = "clarifications-too-many"
    title = "Too many questions wait for an answer"

    def __init__(self) -> None:
        super().__init__(f"At most {OPEN_MAX} of a member do. Withdraw one, or wait for an answer.")


class ClarificationOwn(errors.Refused):
    slug = "clarification-own"
    title = "Nobody answers their own question"


class ClarificationBlank(errors.Invalid):
    slug = "clarification-blank"
    title = "There is nothing but spaces in it"
