import hashlib
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.ids import uuid7
from server.kit.tokens import TOKEN_CHARS_MAX, mint, parse

COMPANY = uuid7()


def test_a_token_tells_its_kind_and_company_and_only_its_digest_is_kept() -> None:
    text, digest = mint("jd", COMPANY)
    token = parse(text)

    assert token is not None
    assert (token.kind, token.company_id, token.digest) == ("jd", COMPANY, digest)
    assert digest.hex() not in repr(token)
    assert len(text) <= TOKEN_CHARS_MAX
    assert hashlib.sha256(text.encode()).digest() != digest  # of the secret alone


def test_no_two_tokens_are_alike() -> None:
    assert len({mint("js", COMPANY)[0] for _ in range(1000)}) == 1000


def test_no_seed_makes_the_same_token_again() -> None:
    made = set()
    for _ in range(2):
        random.seed(1)
        made.add(mint("js", COMPANY)[0])

    assert len(made) == 2
    # After the kind and the company, 22 characters; each one of base64 holds six bits.
    assert all(len(text[len("js_") + 23 :]) * 6 >= 128 for text in made)


def test_a_token_has_one_spelling() -> None:
    text, digest = mint("js", COMPANY)

    for place, letter in enumerate(text):
        for other in (*string.printable, ""):
            if other == letter:
                continue
            token = parse(text[:place] + other + text[place + 1 :])
            assert token is None or (token.digest, token.company_id, token.kind) != (
                digest,
                COMPANY,
                "js",
            )


@pytest.mark.parametrize(
    "kind", ["", "JS", "j s", "j_s", "jsjsjsjsj", "\x00", "\x1b[0m", "é", "²", "j\n"]
)
def test_a_kind_is_a_few_letters(kind: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        mint(kind, COMPANY)
    assert parse(mint("js", COMPANY)[0].replace("js_", f"{kind}_", 1)) is None


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("add", ["=", "==", " ", "\n", "A", "a" * 200])
def test_nothing_may_follow(add: str) -> None:
    assert parse(mint("js", COMPANY)[0] + add) is None
