from datetime import UTC, datetime
from uuid import UUID

import pytest

from server.accounts.model import Locale
from server.kit.ids import uuid7
from server.notice_kinds.kinds import Category, Form, NoticeKind
from server.notice_kinds.table import KINDS
from server.notice_kinds.words import WORDS
from server.notices.writing import TEXTS, Setting, footer, one_line, placeholders, write
from tests.notices.test_kinds import examples
from tests.world import NOW

EVERY = [(kind, language) for kind in NoticeKind for language in Locale]


def setting(language: Locale, **changes: object) -> Setting:
    values: dict[str, object] = {
        "language": language,
        "company": "Aral Freight",
        "time_zone": "Asia/Almaty",
        "names": {},
    }
    return Setting(**(values | changes))  # type: ignore[arg-type]  # names are the point here


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_every_kind_is_written_in_every_language_with_all_it_knows(
    kind: NoticeKind, language: Locale
) -> None:
    texts = TEXTS[language][kind.value]
    used = set().union(*(placeholders(line) for line in [texts["title"], *texts["body"]]))

    assert set(texts) == {"title", "body", "short"}
    # Nothing is asked for that the text does not tell, and nothing told that was not asked for.
    assert used - {"company"} == KINDS[kind].values.keys()
    written = write(kind, examples(kind), setting(language))
    for text in (written.title, written.body, written.short):
        assert text
        assert "{" not in text


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_what_a_lock_screen_shows_names_nobody_and_is_short(
    kind: NoticeKind, language: Locale
) -> None:
    members = {name for name, one in KINDS[kind].values.items() if one.form is Form.MEMBER}
    optional = {name for name, one in KINDS[kind].values.items() if one.optional}
    template = TEXTS[language][kind.value]["short"]

    assert placeholders(template).isdisjoint(members | optional)
    assert len(template) <= 140


@pytest.mark.parametrize("language", list(Locale))
def test_every_word_of_every_list_is_translated(language: Locale) -> None:
    translated = {name: set(words) for name, words in TEXTS[language]["words"].items()}

    assert translated == {name: set(words) for name, words in WORDS.items()}
    assert len(TEXTS[language]["format"]["months"]) == 12


def test_the_three_languages_say_the_same_number_of_things() -> None:
    for kind in NoticeKind:
        shapes = {
            tuple(frozenset(placeholders(line)) - {"company"} for line in texts[kind.value]["body"])
            for texts in TEXTS.values()
        }
        assert len(shapes) == 1, kind


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        (Locale.RU, "1 марта 2027 г., 00:30 (UTC+5)"),  # noqa: RUF001 - Russian
        (Locale.KK, "2027 жылғы 1 наурыз, 00:30 (UTC+5)"),
        (Locale.EN, "1 March 2027, 00:30 (UTC+5)"),
    ],
)
def test_times_are_those_of_the_company_in_the_readers_language(
    language: Locale, shown: str
) -> None:
    ends_at = datetime(2027, 2, 28, 19, 30, tzinfo=UTC)

    text = write(NoticeKind.SHIFT_REMINDER, {"ends_at": ends_at.isoformat()}, setting(language))

    assert shown in text.body
    assert shown in text.short


@pytest.mark.parametrize(
    ("time_zone", "shown"),
    [
        ("Asia/Kolkata", "17:30 (UTC+5:30)"),
        ("America/St_Johns", "08:30 (UTC-3:30)"),
        ("UTC", "12:00 (UTC)"),
    ],
)
def test_the_offset_is_told_as_people_write_it(time_zone: str, shown: str) -> None:
    text = write(
        NoticeKind.DEVICE_ADDED,
        {"added_at": NOW.isoformat()},
        setting(Locale.EN, time_zone=time_zone),
    )

    assert f"22 November 2026, {shown}" in text.body


def test_a_line_whose_value_is_absent_is_left_out() -> None:
    refused = {"outcome": "refuse", "ground": "legal_claim", "until": NOW.isoformat()}
    approved = {"outcome": "approve", "grace_until": NOW.isoformat()}

    said_no = write(NoticeKind.ERASURE_DECIDED, refused, setting(Locale.RU)).body
    said_yes = write(NoticeKind.ERASURE_DECIDED, approved, setting(Locale.RU)).body

    assert "Основание отказа: судебный спор или требование." in said_no
    assert "начнётся" not in said_no
    assert "Основание" not in said_yes
    assert "22 ноября 2026 г., 17:00 (UTC+5)" in said_yes  # noqa: RUF001 - Russian


def test_a_member_is_shown_by_name_and_by_a_dash_once_they_are_gone() -> None:
    driver = uuid7()
    values = {"driver": str(driver), "disputed_at": NOW.isoformat()}

    def body(names: dict[UUID, str]) -> str:
        kind = NoticeKind.ATTESTATION_DISPUTED
        return write(kind, values, setting(Locale.RU, names=names)).body

    assert "Водитель: Айдос Тестов." in body({driver: "Айдос Тестов"})
    assert "Водитель: —." in body({})


@pytest.mark.parametrize("hostile", ["{company.__class__}", "{0}", "{by!r}", "%s", "}{"])
def test_braces_in_a_name_are_letters(hostile: str) -> None:
    driver = uuid7()

    text = write(
        NoticeKind.ATTESTATION_DISPUTED,
        {"driver": str(driver), "disputed_at": NOW.isoformat()},
        setting(Locale.EN, company=hostile, names={driver: hostile}),
    )

    assert text.body.count(hostile) == 2


def test_whatever_breaks_a_line_becomes_a_space() -> None:
    assert one_line(" a\r\nBcc: x\x00y\u2028z\u0085\tq ") == "a Bcc: x y z q"


@pytest.mark.parametrize("language", list(Locale))
def test_an_email_says_whether_it_can_be_switched_off(language: Locale) -> None:
    service = footer(Category.SERVICE, language.value, "Aral Freight")
    marketing = footer(Category.MARKETING, language.value, "Aral Freight")

    assert "Aral Freight" in service
    assert service != marketing
