"""Our notices name what the program keeps of drivers besides positions, in every language."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.accounts.model import Locale
from server.alerts.model import AlertKind
from server.notices import service as notices
from server.policies import service
from server.policies.model import Document
from server.stop_events.model import KEPT
from server.vault.model import Category, period_of
from tests.policies.promises import codes, iso, tables, terms

BOTH = (Document.DRIVER_NOTICE, Document.PRIVACY_NOTICE)
OF_STOPS = {
    Locale.RU: ("сообщаете в приложении об остановке", "комментарий"),  # noqa: RUF001 - Russian
    Locale.KK: ("аялдама туралы хабарлағаныңыз", "түсініктеме"),
    Locale.EN: ("say in the app of a stop", "comment"),
}
ONE_KEY = {
    Locale.RU: "один ключ на всё время",
    Locale.KK: "барлық уақытқа бір ғана кілті бар",  # noqa: RUF001 - Kazakh
    Locale.EN: "one key for all time",
}
CONTACTS = {Locale.RU: "спросить", Locale.KK: "кімді сұрау", Locale.EN: "whom to ask for"}
languages = pytest.mark.parametrize("language", list(Locale))


def text_of(document: Document, language: Locale) -> str:
    return service.shipped(document)[language]


@languages
@pytest.mark.parametrize("document", BOTH)
def test_what_a_driver_says_of_stops_is_told_and_for_how_long_it_is_kept(
    document: Document, language: Locale
) -> None:
    [told, *more] = [
        line
        for line in text_of(document, language).splitlines()
        if all(words in line for words in OF_STOPS[language])
    ]

    assert more == []
    if document is Document.DRIVER_NOTICE:
        assert terms(told, language) == {iso(KEPT)}
    else:
        # It needs no consent, so it names none.
        assert codes(told) == set()


@languages
@pytest.mark.parametrize("document", BOTH)
@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_of_alert_is_told_by_the_words_in_which_it_is_raised(
    document: Document, language: Locale, kind: AlertKind
) -> None:
    texts = Path(notices.__file__).parent / "texts" / f"{language.value}.toml"
    word = tomllib.loads(texts.read_text("utf-8"))["words"]["alert"][kind.value]

    told = [row for row in tables(text_of(document, language))[0] if word in " ".join(row)]

    assert len(told) == 1
    assert "plan_fact" in codes(" ".join(told[0]))


@languages
def test_contacts_at_stops_are_told_with_how_long_they_are_kept(language: Locale) -> None:
    of, _, kept, *_ = tables(text_of(Document.PRIVACY_NOTICE, language))

    for table in (of, kept):
        assert len([row for row in table if CONTACTS[language] in row[0].casefold()]) == 1


@languages
@pytest.mark.parametrize("document", BOTH)
def test_backups_are_told_of_a_key_that_goes_with_the_driver_alone(
    document: Document, language: Locale
) -> None:
    """Reports, alerts and what drivers say of stops are sealed with it; tracks are by month."""
    moments = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 12, 31, tzinfo=UTC))

    assert len({period_of(Category.REPORT, at) for at in moments}) == 1
    assert len({period_of(Category.TRACK, at) for at in moments}) == len(moments)
    assert text_of(document, language).count(ONE_KEY[language]) == 1
