"""Our own texts: complete in every language, and the same in each."""

import re
from pathlib import Path

import pytest

from server.accounts.model import Locale
from server.policies import service
from server.policies.model import Document, paragraphs, refuse_unfit
from server.policies.page import WORDS

ALL = [(document, language) for document in Document for language in Locale]
TEXTS = {document: service.shipped(document) for document in Document}
PARTICULARS = {"company_name", "bin", "privacy_contact"}
KEEPING = {"storage_country", "cross_border", "track_days", "reports_kept"}
each = pytest.mark.parametrize(("document", "language"), ALL)


@each
def test_it_can_be_published_as_it_is(document: Document, language: Locale) -> None:
    text = TEXTS[document][language]

    refuse_unfit(TEXTS[document])
    assert text.startswith("# ")
    assert text.endswith(".\n")
    assert not re.search(r"[ \t]\n|TODO|\u00a0|<", text)


@each
def test_it_says_the_same_as_the_prevailing_one(document: Document, language: Locale) -> None:
    """Paragraph by paragraph: as many, of the same form, with the same codes and figures."""
    own, prevailing = (
        [_skeleton(one) for one in paragraphs(TEXTS[document][which])]
        for which in (language, Locale.RU)
    )

    assert own == prevailing


def _skeleton(paragraph: str) -> tuple[str, list[str], list[str]]:
    form = re.match(r"#+|-|\||", paragraph)
    codes = re.findall(r"\{\w+\}|`\w+`|GPS|Wi-Fi|GDPR|№ 94-V|eotinish\.kz|cookie", paragraph)
    # English says "No." for the sign and "first" where others write a figure.
    codes += ["№ 94-V"] * paragraph.count("No. 94-V")
    return (form[0] if form else "", sorted(codes), sorted(re.findall(r"\d+", paragraph)))


@each
def test_it_leaves_open_only_the_companys_particulars(document: Document, language: Locale) -> None:
    keeping = set() if document is Document.DEVICE_NOTICE else KEEPING
    assert set(re.findall(r"\{(\w*)\}", TEXTS[document][language])) == PARTICULARS | keeping


@pytest.mark.parametrize("language", list(Locale))
def test_the_driver_is_told_of_every_item_and_how_to_withdraw(language: Locale) -> None:
    text = TEXTS[Document.DRIVER_NOTICE][language]

    for item in (
        "location",
        "dispatch_tracking",
        "plan_fact",
        "customer_link",
        "notifications",
        "marketing",
    ):
        assert f"`{item}`" in text
    assert "`on_shift`" in text
    assert "`always`" in text
    assert "94-V" in text


@pytest.mark.parametrize("language", list(Locale))
def test_the_pages_have_the_same_words_in_every_language(language: Locale) -> None:

    russian, own = WORDS[Locale.RU], WORDS[language]
    assert own.keys() == russian.keys()
    for key, text in own.items():
        assert sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", russian[key]))


def test_no_other_text_lies_beside_them() -> None:
    folder = Path(service.__file__).parent / "texts"

    expected = {f"{document.value}.1.{language.value}.md" for document, language in ALL}
    assert {file.name for file in folder.glob("*.md")} == expected
