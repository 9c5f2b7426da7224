"""How people, and whoever attacks them, may write one phone number or one e-mail address.

``SIZE=full python -m tests.accounts.spellings`` tries a million spellings: each is read as the one
login that was meant, or refused with 422. Never as another one, and never with an error of ours.
"""

import os
import random
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Final

import phonenumbers
from pydantic import TypeAdapter, ValidationError

from server.accounts.logins import EmailUnreadable, PhoneUnreadable, canonical_login
from server.kit.wire import Text
from server.vault.wrapping import blind_index

SIZES: Final = {"smoke": 4_000, "full": 1_000_000}
SEED: Final = 20_261_123
PEPPER: Final = bytes(32)
LOGIN: Final = TypeAdapter(Annotated[str, Text(254)])
"""As the endpoints take it."""

SPACES: Final = ("", "", " ", "-", ".", "/", "\u00a0", "\u2009", "\u202f", "\u2011", "\u2013")
# Of every kind: those that a phone's keyboard makes, and those that only look like digits.
ZEROS: Final = ("0", "0", "0", "\uff10", "\u0660", "\u06f0", "\u0966", "\u09e6", "\U0001d7ce")
ZEROS_READ: Final = frozenset({"0", "\uff10", "\U0001d7ce"})
"""Digits that are ASCII ones in another font (NFKC); all others are refused."""
HIDDEN: Final = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u0000")
COUNTRIES: Final = {
    "+7": ("70", "74", "77", "71", "72", "90", "91", "92", "95", "98"),
    "+996": ("55", "70"),
    "+998": ("90", "93"),
    "+44": ("74", "77"),
    "+49": ("151", "160"),
    "+1": ("212", "305"),
}
LENGTHS: Final = {"+7": 10, "+996": 9, "+998": 9, "+44": 10, "+49": 11, "+1": 10}
DOMAINS: Final = (
    ("aral.kz", ("aral.kz", "ARAL.KZ", "\uff41ral.kz", "aral\u3002kz", "a\u00adral.kz")),
    ("mail.example", ("mail.example", "Mail.Example", "mail\uff0eexample", "mai\u2113.example")),
    ("xn--80a1acny.xn--p1ai", ("почта.рф", "ПОЧТА.РФ", "xn--80a1acny.xn--p1ai", "XN--80A1ACNY.рф")),
    (
        "xn--bcher-kva.example",
        ("b\u00fccher.example", "bu\u0308cher.example", "B\u00dcCHER.example"),
    ),
)
AROUND: Final = ("", "", " ", "\u00a0", "\u3000", "\t", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """One way to write a login, and which it must be read as where it is read at all."""

    kind: str
    text: str = field(repr=False)
    meant: str | None = field(repr=False)
    """None: nothing in particular; whatever is read has to be read as itself again."""
    plain: bool = False
    """Nobody may be refused who writes it so."""


def spellings(count: int, seed: int = SEED) -> Iterator[Spelling]:
    chance = random.Random(seed)  # noqa: S311 - the same ones again, on purpose
    ways: tuple[Callable[[random.Random], Spelling], ...] = (
        _plain_phone,
        _strange_phone,
        _plain_email,
        _strange_email,
        _anything,
    )
    for number in range(count):
        yield ways[number % len(ways)](chance)


def _phone(chance: random.Random) -> tuple[str, str]:
    """Return a country's code and a number there that exists, as far as its form goes."""
    while True:
        code = chance.choice(tuple(COUNTRIES))
        begin = chance.choice(COUNTRIES[code])
        rest = LENGTHS[code] - len(begin)
        national = begin + "".join(chance.choice("0123456789") for _ in range(rest))
        if phonenumbers.is_valid_number(phonenumbers.parse(code + national, None)):
            return code, national


def _grouped(chance: random.Random, national: str) -> str:
    cuts = sorted(chance.sample(range(1, len(national)), chance.randint(0, 3)))
    parts = [national[a:b] for a, b in zip([0, *cuts], [*cuts, len(national)], strict=True)]
    if chance.random() < 0.3:
        parts[0] = f"({parts[0]})"
    return "".join(part + chance.choice(SPACES) for part in parts[:-1]) + parts[-1]


def _plain_phone(chance: random.Random) -> Spelling:
    """As in Kazakhstan and Russia: national with 8, without it, with +7 or 7; abroad with +."""
    code, national = _phone(chance)
    begin = chance.choice(("+7", "8", "7", "")) if code == "+7" else code
    text = begin + chance.choice(("", " ", "-") if begin else ("",)) + _grouped(chance, national)
    return Spelling(kind="phone, plain", text=text, meant=code + national, plain=True)


def _strange_phone(chance: random.Random) -> Spelling:
    code, national = _phone(chance)
    begins = (
        code,
        f"\uff0b{code[1:]}",
        f"00{code[1:]}",
        f"810{code[1:]}",
        f"+{code}",
        f"+0{code[1:]}",
    )
    begin = chance.choice((*begins, "8", "0", ""))
    text = begin + _grouped(chance, national)
    zero = chance.choice(ZEROS)
    text = "".join(chr(ord(zero) + int(one)) if one in "0123456789" else one for one in text)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        at = chance.randint(0, len(text))
        extra = (*HIDDEN, *AROUND, "ext. 5", ";ext=5", "x5", ",5", "#", "tel:", "A", "\u0301", "²")
        text = text[:at] + chance.choice(extra) + text[at:]
    # Without its country's code a number from abroad is a Kazakh one, or none.
    meant = code + national if code == "+7" or begin in begins else None
    return Spelling(kind="phone, strange", text=text, meant=meant)


def _address(chance: random.Random) -> tuple[str, str, tuple[str, ...]]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    atoms = [
        "".join(chance.choice(letters) for _ in range(chance.randint(1, 8)))
        for _ in range(chance.randint(1, 3))
    ]
    local = atoms[0] + "".join(chance.choice(".+-_") + atom for atom in atoms[1:])
    domain, written = chance.choice(DOMAINS)
    return local, domain, written


def _cased(chance: random.Random, text: str) -> str:
    return "".join(one.upper() if chance.random() < 0.5 else one for one in text)


def _plain_email(chance: random.Random) -> Spelling:
    local, domain, _ = _address(chance)
    text = chance.choice(("", " ")) + _cased(chance, local) + "@" + _cased(chance, domain)
    return Spelling(kind="e-mail, plain", text=text, meant=f"{local}@{domain}", plain=True)


def _strange_email(chance: random.Random) -> Spelling:
    local, domain, written = _address(chance)
    at = chance.choice(("@", "@", "\uff20", "\ufe6b"))
    text = _cased(chance, local) + at + chance.choice(written)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        place = chance.randint(0, len(text))
        text = text[:place] + chance.choice((*HIDDEN, *AROUND)) + text[place:]
    wrapped = (f"<{text}>", f'"{text}"', f"{text}.", f"mailto:{text}")
    text = chance.choice((*[text] * 12, *wrapped))
    return Spelling(
        kind="e-mail, strange",
        text=unicodedata.normalize("NFD", text) if chance.random() < 0.5 else text,
        meant=f"{local}@{domain}",
    )


def _anything(chance: random.Random) -> Spelling:
    alphabet = chance.choice(
        (
            "+0123456789 ()-./",
            "+0123456789\u0660\u0967\uff11\u00b2 ext.;",
            "ab.@\u0130\u00df\u212a\uff20\u017f<>\"' \u0301+",
            "".join(HIDDEN) + "7@a.kz01",
        )
    )
    text = "".join(chance.choice(alphabet) for _ in range(chance.randint(0, 40)))
    return Spelling(kind="anything", text=text, meant=None)


def read(text: str) -> tuple[str, str] | None:
    """Return the login that an endpoint finds in the text; None where it answers 422."""
    try:
        return canonical_login(LOGIN.validate_python(text))
    except (ValidationError, PhoneUnreadable, EmailUnreadable):
        return None


def judged(one: Spelling) -> tuple[bool, str | None]:
    """Return whether the spelling is read, and what is wrong with that; None where nothing is."""
    found = read(one.text)
    if found is None:
        return False, "refused" if one.plain else None
    kind, canonical = found
    if one.meant is not None and canonical != one.meant:
        return True, "read as another login"
    again = read(canonical)
    if again != found or not canonical.isascii() or canonical != canonical.lower():
        return True, "not read as itself again"
    if blind_index(PEPPER, kind, canonical) != blind_index(PEPPER, *again):
        return True, "under two indexes"
    return True, None


@dataclass(slots=True)
class Tally:
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def tally(count: int, seed: int = SEED) -> Tally:
    """Read so many spellings; what is wrong comes with its first examples."""
    found = Tally()
    for one in spellings(count, seed):
        is_read, reason = judged(one)
        (found.read if is_read else found.refused)[one.kind] += 1
        if reason is not None:
            found.wrong[one.kind, reason] += 1
            if len(found.examples) < 10:
                found.examples.append(f"{reason}: {one.text!a}, meant {one.meant!a}")
    return found


if __name__ == "__main__":
    size = SIZES[os.environ.get("SIZE", "full")]
    started = monotonic()
    result = tally(size)
    lines = ["| spelling | read as the one login | refused (422) | wrong |", "|---|---|---|---|"]
    for name in sorted(result.read | result.refused):
        bad = sum(n for (of, _), n in result.wrong.items() if of == name)
        lines.append(f"| {name} | {result.read[name]:,} | {result.refused[name]:,} | {bad} |")
    lines.append(f"\n{size:,} spellings in {monotonic() - started:.0f} s, seed {SEED}")
    sys.stdout.write("\n".join([*lines, *result.examples]) + "\n")
    raise SystemExit(1 if result.wrong else 0)
