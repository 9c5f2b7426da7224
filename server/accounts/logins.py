"""Phones and e-mails: the one spelling of each that the blind index is made of."""

import re
import unicodedata
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from server.kit.errors import Invalid

PHONE_REGION: Final = "KZ"
_PHONE_LETTERS: Final = re.compile(r"[+]?[0-9 ()./\-]{5,32}", re.ASCII)
_DASHES: Final = re.compile("[\u2010-\u2015\u2212]")
_PHONE_CHARS_MAX: Final = 40
_NO_DIGITS: Final = re.compile("[^0-9]")
_DIGITS_WITH_CODE: Final = 11
"""Of a Kazakh or Russian number: 7 and ten more."""


def canonical_phone(text: str) -> str:
    """Return the one spelling of a phone number, E.164; numbers without ``+`` are Kazakh.

    Raises
    ------
    PhoneUnreadable
    """
    # Length first: normalising may multiply it.
    plain = unicodedata.normalize("NFKC", text[: _PHONE_CHARS_MAX + 1])
    plain = _DASHES.sub("-", plain).strip()
    # The library also takes letters, extensions and numbers inside a sentence.
    if any(unicodedata.category(one) == "No" for one in text):
        raise PhoneUnreadable  # normalising would make a digit of a footnote's mark
    if len(text) > _PHONE_CHARS_MAX or _PHONE_LETTERS.fullmatch(plain) is None:
        raise PhoneUnreadable
    digits = _NO_DIGITS.sub("", plain)
    if len(digits) == _DIGITS_WITH_CODE and digits.startswith("7") and plain[0] != "+":
        plain = f"+{digits}"  # the library adds the + for Kazakh numbers alone
    try:
        number = phonenumbers.parse(plain, PHONE_REGION)
    except phonenumbers.NumberParseException:
        raise PhoneUnreadable from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneUnreadable
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def canonical_email(text: str) -> str:
    """Return the one spelling of an e-mail address: lower case, the domain as in DNS.

    Raises
    ------
    EmailUnreadable
    """
    try:
        found = validate_email(
            text.strip(),
            allow_smtputf8=False,
            check_deliverability=False,
            globally_deliverable=False,  # a company's own mail server may be in its own network
        )
    except EmailNotValidError:
        raise EmailUnreadable from None
    return f"{found.local_part}@{found.ascii_domain}".lower()


def canonical_login(text: str) -> tuple[str, str]:
    """Return which kind of login the text is, ``phone`` or ``email``, and its one spelling.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable
    """
    if "@" in unicodedata.normalize("NFKC", text):
        return "email", canonical_email(text)
    return "phone", canonical_phone(text)


def masked(phone: str) -> str:
    """Return the number with its middle hidden: enough to tell two drivers apart."""
    return f"{phone[:5]}{'*' * (len(phone) - 7)}{phone[-2:]}"


class PhoneUnreadable(Invalid):
    slug = "phone-unreadable"
    title = "This is not a phone number"


class EmailUnreadable(Invalid):
    slug = "email-unreadable"
    title = "This is not an e-mail address"
