import pytest

from server.kit.cursors import (
    CursorInvalid,
    bound_cursor,
    bound_place,
    cursor_of,
    page_of,
    place_of,
)
from server.kit.errors import NotFound, there
from server.kit.ids import uuid7


@pytest.mark.parametrize(
    ("found", "page"),
    [
        ([], ([], None)),
        ([1], ([1], None)),
        ([1, 2], ([1, 2], None)),
        ([1, 2, 3], ([1, 2], "after 2")),
    ],
)
def test_a_page_tells_where_the_next_begins_if_there_is_one(
    found: list[int], page: tuple[list[int], str | None]
) -> None:
    assert page_of(found, 2, lambda last: f"after {last}") == page


def test_a_cursor_is_the_place_it_was_made_of() -> None:
    last = uuid7()

    assert place_of(cursor_of(last)) == last


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "A" * 22 + "=", "é" * 22])
def test_what_was_not_given_out_is_no_cursor(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        place_of(cursor)


def test_what_is_not_found_is_what_the_caller_calls_it() -> None:
    class Missing(NotFound):
        slug = "missing"
        title = "Not there"

    assert there(0, Missing) == 0
    with pytest.raises(Missing):
        there(None, Missing)


def test_a_bound_cursor_is_taken_back_for_its_question_only() -> None:
    cursor = bound_cursor(b"place", b"question")

    assert bound_place(cursor, b"question") == b"place"
    with pytest.raises(CursorInvalid):
        bound_place(cursor, b"another")


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "A" * 22 + "=", "é" * 22])
def test_what_was_not_given_out_is_no_bound_cursor(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        bound_place(cursor, b"question")


def test_a_bound_cursor_has_one_text_only() -> None:
    cursor = bound_cursor(b"place", b"question")
    other = cursor[:-1] + chr(ord(cursor[-1]) + 1)  # bits after the end of what it holds

    with pytest.raises(CursorInvalid):
        bound_place(other, b"question")


def test_an_invalid_cursor_names_its_place() -> None:
    told = CursorInvalid().members()

    assert "'path': '?cursor'" in str(told["fields"])
