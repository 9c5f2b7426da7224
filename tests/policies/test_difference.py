"""What changed between two texts, paragraph by paragraph."""

import time

from hypothesis import given
from hypothesis import strategies as st

from server.policies.difference import changes
from server.policies.model import PARAGRAPHS_MAX, Change, ChangeKind, paragraphs

BEFORE = """# Notice

## Who

We.

## How long

- track: 60 days
- report: 1 year

## Gone

Old.
"""
AFTER = """# Notice

## Who

We.

Also them.

## How long

- track: 30 days
- report: 1 year
"""


def test_it_names_what_was_added_removed_and_changed_and_under_which_heading() -> None:
    assert changes(BEFORE, AFTER) == (
        Change(kind=ChangeKind.ADDED, heading="Who", before=None, after="Also them."),
        Change(
            kind=ChangeKind.CHANGED,
            heading="How long",
            before="- track: 60 days",
            after="- track: 30 days",
        ),
        Change(kind=ChangeKind.REMOVED, heading="Gone", before="## Gone", after=None),
        Change(kind=ChangeKind.REMOVED, heading="Gone", before="Old.", after=None),
    )


def test_against_nothing_everything_is_new() -> None:
    found = changes("", AFTER)

    assert {one.kind for one in found} == {ChangeKind.ADDED}
    assert [one.after for one in found] == list(paragraphs(AFTER))


texts = st.lists(st.sampled_from(["# H", "a", "b", "- c", "d\ne"]), max_size=12).map("\n\n".join)


@given(before=texts, after=texts)
def test_nothing_that_differs_is_left_out(before: str, after: str) -> None:
    found = changes(before, after)

    gone = sorted(one.before for one in found if one.before is not None)
    come = sorted(one.after for one in found if one.after is not None)
    assert (found == ()) == (paragraphs(before) == paragraphs(after))
    # What is common to both is what is left of each when the changes are taken out.
    assert _without(paragraphs(before), gone) == _without(paragraphs(after), come)


def _without(whole: object, taken: list[str]) -> list[str]:
    left = list(whole)  # type: ignore[call-overload]  # a sequence of texts
    for one in taken:
        left.remove(one)
    return sorted(left)


def test_the_longest_texts_of_one_repeated_paragraph_compare_at_once() -> None:
    before = "a\n\nb\n\n" * (PARAGRAPHS_MAX // 2)
    after = "b\n\nb\n\na\n\n" * (PARAGRAPHS_MAX // 3)
    begun = time.process_time()

    assert changes(before, after)
    assert time.process_time() - begun < 5
