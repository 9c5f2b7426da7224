"""The link understands just enough: the bytes stay the same, and commits are told from the rest."""

from itertools import pairwise
from random import Random

from tests.crash.link import Answers


def message(kind: bytes, content: bytes = b"") -> bytes:
    return kind + (len(content) + 4).to_bytes(4) + content


PARSED = message(b"1") + message(b"t", b"\0\0") + message(b"T", b"columns")
"""What a statement that is prepared is answered: no end of it is told."""
STORED = message(b"2") + message(b"D", b"row") + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
SET = message(b"C", b"SET\0") + message(b"Z", b"I")
BEGUN = message(b"C", b"BEGIN\0") + message(b"Z", b"T")
IN_TRANSACTION = STORED[:-1] + b"T"
COMMITTED = message(b"C", b"COMMIT\0") + message(b"Z", b"I")
FAILED = message(b"2") + message(b"E", b"no") + message(b"Z", b"I")
SESSION = PARSED + SET + STORED + BEGUN + IN_TRANSACTION + COMMITTED + FAILED + STORED


def passed(*parts: bytes) -> list[tuple[bytes, bool]]:
    answers = Answers()
    return [one for part in parts for one in answers.feed(part)]


def test_a_statement_on_its_own_and_a_commit_are_told_from_all_else() -> None:
    found = [answer for answer, is_of_commit in passed(SESSION) if is_of_commit]

    assert found == [STORED, COMMITTED, STORED]


def test_what_is_prepared_is_passed_on_at_once() -> None:
    assert b"".join(answer for answer, _ in passed(PARSED)) == PARSED


def test_an_answer_to_a_commit_is_held_back_until_it_has_come_whole() -> None:
    assert passed(STORED[:-1]) == []


def test_no_byte_is_changed_however_they_come() -> None:
    dice = Random(1)  # noqa: S311 - no secret
    for _ in range(200):
        places = sorted(dice.sample(range(1, len(SESSION)), 9))
        parts = [SESSION[begin:end] for begin, end in pairwise((0, *places, len(SESSION)))]

        found = passed(*parts)

        assert b"".join(answer for answer, _ in found) == SESSION
        assert [answer for answer, is_of_commit in found if is_of_commit] == [
            STORED,
            COMMITTED,
            STORED,
        ]
