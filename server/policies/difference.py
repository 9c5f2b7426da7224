"""What changed between two texts, paragraph by paragraph."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Final

from server.accounts.model import Locale
from server.policies.model import (
    PREVAILING,
    Change,
    ChangeKind,
    Difference,
    Edition,
    Text,
    paragraphs,
)

_HEADING: Final = re.compile(r"#{1,6} +(.+)")


def compared(
    before: Edition | None,
    before_texts: Mapping[Locale, Text],
    after: Edition,
    after_texts: Mapping[Locale, Text],
    language: Locale,
) -> Difference:
    """Return what ``after`` changes, in ``language`` or, if not both have it, the prevailing one.

    Without ``before`` all of it was added.
    """
    both = language in after_texts and (before is None or language in before_texts)
    common = language if both else PREVAILING
    return Difference(
        document=after.document,
        since=None if before is None else before.edition,
        edition=after.edition,
        language=common,
        asked_language=language,
        changes=changes(
            "" if before is None else before_texts[common].text, after_texts[common].text
        ),
    )


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return the paragraphs that were added, removed or changed, in the order of the texts."""
    old, new = paragraphs(before), paragraphs(after)
    # autojunk stays on: it keeps a text of repeated paragraphs from taking cubic time.
    matcher = SequenceMatcher(a=old, b=new)
    return tuple(
        change
        for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes()
        if tag != "equal"
        for change in _paired(old, new, (old_from, old_to), (new_from, new_to))
    )


def _paired(
    old: Sequence[str], new: Sequence[str], gone: tuple[int, int], come: tuple[int, int]
) -> Iterator[Change]:
    for was, becomes in zip_longest(range(*gone), range(*come)):
        if was is None:
            yield Change(
                kind=ChangeKind.ADDED,
                heading=_heading(new, becomes),
                before=None,
                after=new[becomes],
            )
        elif becomes is None:
            yield Change(
                kind=ChangeKind.REMOVED, heading=_heading(old, was), before=old[was], after=None
            )
        else:
            yield Change(
                kind=ChangeKind.CHANGED,
                heading=_heading(new, becomes),
                before=old[was],
                after=new[becomes],
            )


def _heading(texts: Sequence[str], at: int) -> str | None:
    for text in reversed(texts[: at + 1]):
        found = _HEADING.match(text)
        if found is not None:
            return found[1]
    return None
