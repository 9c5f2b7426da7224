"""What is in force at an instant, when an edition may come into force, what can be published."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.accounts.model import Locale
from server.policies.model import (
    PARAGRAPHS_MAX,
    TEXT_CHARS_MAX,
    AddedItem,
    ChangeClass,
    ChangeClassMisplaced,
    Controller,
    Document,
    Draft,
    Edition,
    EditionOrder,
    NoticeTooShort,
    Text,
    TextUnfit,
    earliest_effective,
    edition_in_force,
    next_edition,
    paragraphs,
    sha256_of,
    shown,
    standing,
)
from server.policies.particulars import filled
from tests.world import NOW

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
ZONES = ("UTC", "Asia/Almaty", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
RU = {Locale.RU: "Текст"}


def edition(number: int, effective_at: datetime) -> Edition:
    return Edition(
        document=Document.DRIVER_NOTICE,
        edition=number,
        change_class=ChangeClass.FIRST if number == 1 else ChangeClass.EDITORIAL,
        adds_purpose=None,
        published_at=effective_at,
        noticed_at=effective_at,
        effective_at=effective_at,
    )


def draft(change_class: ChangeClass = ChangeClass.MATERIAL, **more: object) -> Draft:
    given: dict[str, object] = {"texts": RU, "document": Document.DRIVER_NOTICE, **more}
    return Draft(change_class=change_class, **given)  # type: ignore[arg-type]  # of a test's own


instants = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([ZoneInfo(name) for name in ZONES]),
    allow_imaginary=False,
)


@pytest.mark.proves(
    "relog-service:8.2", "gocargo:questions-updates", "cargotechservice:5.1", "qoldau:15"
)
@given(
    starts=st.lists(instants, min_size=1, max_size=6, unique_by=lambda at: at.astimezone(UTC)),
    zone=st.sampled_from(ZONES),
)
def test_an_edition_is_in_force_from_its_very_instant_until_the_next_in_any_zone(
    starts: list[datetime], zone: str
) -> None:
    """Also where the clocks change: an hour that comes twice is two hours."""
    ordered = sorted(at.astimezone(UTC) for at in starts)
    in_zone = [at.astimezone(ZoneInfo(zone)) for at in ordered]
    editions = [edition(number, at) for number, at in enumerate(in_zone, start=1)]

    for number, at in enumerate(ordered, start=1):
        for where in (UTC, ZoneInfo(zone)):
            found = edition_in_force(reversed(editions), at.astimezone(where))
            before = edition_in_force(editions, (at - INSTANT).astimezone(where))
            assert found is not None
            assert found.edition == number
            assert (before.edition if before else 0) == number - 1


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    zone = ZoneInfo("America/New_York")
    first = datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=0)
    second = datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=1)
    editions = [edition(1, first - DAY), edition(2, second)]

    assert first == second  # by Python's own comparison, which looks at the wall clock
    assert edition_in_force(editions, first) == editions[0]
    assert edition_in_force(editions, second) == editions[1]


@given(noticed_at=instants, change_class=st.sampled_from(ChangeClass))
def test_thirty_days_are_720_hours_whatever_the_clocks_do(
    noticed_at: datetime, change_class: ChangeClass
) -> None:
    waited = earliest_effective(change_class, noticed_at) - noticed_at.astimezone(UTC)

    assert waited == timedelta(hours=0 if change_class is ChangeClass.FIRST else 720)


def test_before_the_first_edition_nothing_is_in_force() -> None:
    assert edition_in_force([], NOW) is None
    assert edition_in_force([edition(1, NOW)], NOW - INSTANT) is None


def test_what_is_to_come_stands_apart_from_what_is_in_force() -> None:
    editions = [edition(2, NOW + 30 * DAY), edition(1, NOW - DAY)]

    found = standing(Document.DRIVER_NOTICE, editions, NOW)

    assert found.in_force == editions[1]
    assert found.upcoming == (editions[0],)
    assert found.editions == (editions[1], editions[0])


@pytest.mark.parametrize("change_class", sorted(set(ChangeClass) - {ChangeClass.FIRST}))
def test_an_edition_waits_thirty_days_to_the_microsecond(change_class: ChangeClass) -> None:
    first = edition(1, NOW - DAY)
    purpose = AddedItem.CUSTOMER_LINK if change_class is ChangeClass.ADDS_PURPOSE else None
    soonest = NOW + 30 * DAY

    made = next_edition(first, draft(change_class, adds_purpose=purpose), NOW)
    with pytest.raises(NoticeTooShort):
        next_edition(
            first,
            draft(change_class, adds_purpose=purpose, effective_at=soonest - INSTANT),
            NOW,
        )

    assert (made.edition, made.effective_at, made.noticed_at) == (2, soonest, NOW)


def test_an_edition_never_overtakes_the_one_before_it() -> None:
    waiting = edition(2, NOW + 40 * DAY)

    with pytest.raises(EditionOrder):
        next_edition(waiting, draft(), NOW)
    with pytest.raises(EditionOrder):
        next_edition(waiting, draft(effective_at=waiting.effective_at), NOW)
    later = waiting.effective_at + INSTANT
    made = next_edition(waiting, draft(effective_at=later), NOW)
    assert made.edition == 3


@pytest.mark.parametrize("change_class", list(ChangeClass))
@pytest.mark.parametrize("purpose", [None, AddedItem.PLAN_FACT])
@pytest.mark.parametrize("has_previous", [False, True])
def test_the_class_fits_the_edition(
    change_class: ChangeClass, purpose: AddedItem | None, *, has_previous: bool
) -> None:
    previous = edition(1, NOW - DAY) if has_previous else None
    one = draft(change_class, adds_purpose=purpose)
    fits = (change_class is ChangeClass.FIRST) is not has_previous
    fits = fits and (change_class is ChangeClass.ADDS_PURPOSE) is (purpose is not None)

    if fits:
        assert next_edition(previous, one, NOW).change_class is change_class
    else:
        with pytest.raises(ChangeClassMisplaced):
            next_edition(previous, one, NOW)


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {Locale.EN: "Text"},
        {Locale.RU: "\n \n"},
        {Locale.RU: "Текст", Locale.KK: ""},
        {Locale.RU: "x" * (TEXT_CHARS_MAX + 1)},
        {Locale.RU: "x\n\n" * (PARAGRAPHS_MAX + 1)},
    ],
    ids=["none", "no Russian", "blank", "an empty translation", "too long", "too many"],
)
def test_texts_that_cannot_bind_or_be_compared_are_refused(texts: dict[Locale, str]) -> None:
    with pytest.raises(TextUnfit):
        next_edition(edition(1, NOW - DAY), draft(texts=texts), NOW)


def test_a_missing_translation_falls_back_to_russian_and_says_so() -> None:
    texts = {
        language: Text(language=language, text=text, sha256=sha256_of(text))
        for language, text in {Locale.RU: "Текст", Locale.EN: "Text"}.items()
    }
    one = edition(1, NOW)

    english, kazakh = shown(one, texts, Locale.EN), shown(one, texts, Locale.KK)

    assert (english.language, english.fell_back, english.text) == (Locale.EN, False, "Text")
    assert (kazakh.language, kazakh.fell_back, kazakh.text) == (Locale.RU, True, "Текст")
    assert english.authoritative_sha256 == kazakh.sha256 == sha256_of("Текст")


def controller_of(*, storage_country: str = "KZ", track_days: int | None = 60) -> Controller:
    return Controller(company_name="A", storage_country=storage_country, track_days=track_days)


def test_only_the_known_particulars_are_filled_in_once() -> None:
    controller = Controller(
        company_name="{bin}", bin="123456789012", storage_country="KZ", track_days=60
    )

    text = filled("{company_name} {bin} {privacy_contact} {other}", controller, Locale.EN)

    assert text == "{bin} 123456789012 the management of the company {other}"


@pytest.mark.parametrize("language", list(Locale))
def test_a_text_says_where_the_data_are_and_whether_that_is_across_the_border(
    language: Locale,
) -> None:
    text = "{storage_country}; {cross_border}"
    home = {Locale.RU: "Казахстан", Locale.KK: "Қазақстан", Locale.EN: "Kazakhstan"}
    no, yes = {
        Locale.RU: ("нет:", "есть:"),
        Locale.KK: ("жоқ:", "иә:"),
        Locale.EN: ("none:", "yes:"),
    }[language]

    at_home, abroad = (
        filled(text, controller_of(storage_country=one), language).split("; ")
        for one in ("KZ", "DE")
    )

    assert home[language] in at_home[0]
    assert at_home[1].startswith(no)
    assert abroad[0].startswith("DE ")
    assert abroad[1].startswith(yes)


@pytest.mark.parametrize(
    ("language", "days", "said"),
    [
        *((Locale.RU, days, f"{days} день") for days in (1, 21, 101, 361)),
        *((Locale.RU, days, f"{days} дня") for days in (2, 33, 64, 102)),
        *((Locale.RU, days, f"{days} дней") for days in (5, 11, 12, 14, 60, 111, 365)),
        *((Locale.KK, days, f"{days} күн") for days in (1, 60)),
        (Locale.EN, 1, "1 day"),
        (Locale.EN, 60, "60 days"),
        (Locale.RU, None, "до удаления учётной записи, сколько бы времени ни прошло"),
        (Locale.KK, None, "қанша уақыт өтсе де, есептік жазба жойылғанға дейін"),
        (Locale.EN, None, "until the account is erased, however long"),
    ],
)
def test_a_text_says_for_how_many_days_tracks_are_kept(
    language: Locale, days: int | None, said: str
) -> None:
    assert filled("{track_days}", controller_of(track_days=days), language) == said


def test_paragraphs_items_rows_and_headings_stand_alone() -> None:
    text = "# A\n\nOne\nline\n  \n- b\n- c\n\n| d |\n|---|\n1. e\n2) f\n"

    assert paragraphs(text) == [
        "# A",
        "One\nline",
        "- b",
        "- c",
        "| d |",
        "|---|",
        "1. e",
        "2) f",
    ]
