"""What a decision about an erasure has to say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from server.accounts.model import Locale
from server.erasure.model import Outcome
from server.holds.model import Ground, HeldCategory
from server.kit.errors import Invalid, NotFound, Refused

ITEMS_MAX: Final = len(HeldCategory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A category that is refused, why, and until when."""

    category: HeldCategory
    ground: Ground
    until: datetime
    evidence_ref: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    outcome: Outcome
    items: Sequence[Item] = ()
    notice_text: str | None = field(default=None, repr=False)
    """What the driver is told, in their language."""
    locale: Locale | None = None


class DecisionIncomplete(Invalid):
    slug = "erasure-decision-incomplete"
    title = "A refusal names what is kept, and an approval keeps nothing"

    def __init__(self) -> None:
        super().__init__(
            "A refusal names each category once, with its ground and its date, and has a text for "
            "the driver with its language. An approval has none of them."
        )


class DecisionLanguage(Invalid):
    slug = "erasure-decision-language"
    title = "The text is not in the driver's language"

    def __init__(self, wanted: Locale) -> None:
        super().__init__(f"The driver reads {wanted.value}.")


class RefusalMissing(NotFound):
    slug = "erasure-refusal-not-found"
    title = "Nothing was written with a refusal"


class SecondPersonNeeded(Refused):
    slug = "second-person-needed"
    title = "A second person has to decide"

    def __init__(self) -> None:
        super().__init__(
            "The driver disputes what the company says of them. Neither who asked for the erasure "
            "nor who said what is disputed decides on it."
        )


def refuse_incomplete(decision: Decision) -> None:
    """Hold a decision to saying all that its outcome needs, and nothing else.

    Raises
    ------
    DecisionIncomplete
    """
    categories = [one.category for one in decision.items]
    said = (bool(categories), decision.notice_text is not None, decision.locale is not None)
    wanted = decision.outcome is not Outcome.APPROVE
    if said != (wanted, wanted, wanted) or len(set(categories)) != len(categories):
        raise DecisionIncomplete
