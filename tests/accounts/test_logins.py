import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.accounts.logins import (
    EmailUnreadable,
    PhoneUnreadable,
    canonical_email,
    canonical_login,
    canonical_phone,
)

NUMBER = "7011234567"
SEPARATORS = st.sampled_from(["", " ", "-", "\u00a0", "\u2011", "\u2009", "."])
# Beginnings under which people in Kazakhstan write the same number.
BEGINNINGS = st.sampled_from(["+7", "8", "7", "\uff0b7", "8107", ""])
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")  # noqa: RUF001 - that is the point


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """Return one way to write the one number."""
    a, b, c, d = NUMBER[:3], NUMBER[3:6], NUMBER[6:8], NUMBER[8:]
    if draw(st.booleans()):
        a = f"({a})"
    parts = [draw(BEGINNINGS), a, b, c, d]
    written = parts[0] + "".join(draw(SEPARATORS) + part for part in parts[1:])
    written = written.strip("-.\u2011")
    if draw(st.booleans()):
        written = written.translate(FULL_WIDTH)
    return draw(st.sampled_from(["", " "])) + written + draw(st.sampled_from(["", " ", "\n"]))


@settings(max_examples=2_000, deadline=None)
@given(spellings())
def test_every_spelling_of_a_number_is_the_one_number(written: str) -> None:
    assert canonical_login(written) == ("phone", "+77011234567")


@settings(max_examples=2_000, deadline=None)
@given(
    st.lists(st.sampled_from(".-_+"), max_size=3),
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.sampled_from(["aral.kz", "mail.example", "почта.рф", "xn--80a1acny.xn--p1ai"]),
)
def test_every_spelling_of_an_address_is_the_one_address(
    marks: list[str], upper: list[bool], domain: str
) -> None:
    name = "a" + "".join(f"{mark}b" for mark in marks)
    address = f"{name}@{domain}"
    shouted = "".join(
        char.upper() if up else char for char, up in zip(address, upper, strict=False)
    )

    assert canonical_login(f" {shouted} ") == canonical_login(address)
    assert canonical_login(address)[0] == "email"


@settings(max_examples=2_000, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="+0123456789 ()-./ ٧७７²", max_size=40),
        st.text(alphabet="ab.@İß\u212a\uff20<>\"' \u0301", max_size=30),
        st.emails(),
    )
)
def test_any_text_is_one_login_or_refused(written: str) -> None:
    try:
        kind, canonical = canonical_login(written)
    except (PhoneUnreadable, EmailUnreadable):
        return

    assert canonical_login(canonical) == (kind, canonical)
    assert canonical.isascii()
    assert canonical == unicodedata.normalize("NFC", canonical).lower()


@pytest.mark.parametrize(
    "written",
    ["", "1234", "+7 701 123", "+7 701 123 45 67 ext. 5", "call 8 701 123 45 67",
     "tel:+77011234567;phone-context=x", "+7 701 FLOWERS", "8701123456\u0667",
     "8 701 123 45 6\u2077", "+7701\u00b2123456", "8701123456\u2466", "1" * 41, "+" * 30],
)  # fmt: skip
def test_what_is_not_exactly_a_phone_number_is_refused(written: str) -> None:
    with pytest.raises(PhoneUnreadable):
        canonical_phone(written)


@pytest.mark.parametrize(
    "written",
    ["@", "a@", "a@b@c.kz", "Dana <a@b.kz>", '"a b"@c.kz', "a@[1.2.3.4]", "иван@почта.рф",
     "a\n@b.kz", "a@" + "b" * 250 + ".kz"],
)  # fmt: skip
def test_what_is_not_exactly_an_address_is_refused(written: str) -> None:
    with pytest.raises(EmailUnreadable):
        canonical_email(written)
