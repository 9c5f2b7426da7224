"""The company's particulars in a text: who it is, whom to ask, where and how long data are kept.

A text's hash is of what it says before they are filled in, so that a new phone number is no new
edition. Where the data are kept, and for how long, every consent record says by itself. Pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from server.accounts.model import Locale
from server.policies.model import Controller

HOME_COUNTRY: Final = "KZ"
"""Whose law the texts go by, ISO 3166-1: what is kept elsewhere has crossed its border."""

_PLACEHOLDER: Final = re.compile(
    r"\{(company_name|bin|privacy_contact|storage_country|cross_border|track_days|reports_kept)\}"
)
_UNSTATED: Final[Mapping[Locale, Mapping[str, str]]] = {
    Locale.RU: {"bin": "не указан", "privacy_contact": "руководство компании"},
    Locale.KK: {"bin": "көрсетілмеген", "privacy_contact": "компания басшылығы"},
    Locale.EN: {"bin": "not stated", "privacy_contact": "the management of the company"},
}
_AT_HOME: Final[Mapping[Locale, tuple[str, str]]] = {
    Locale.RU: ("Республика Казахстан", "нет: базы данных находятся в Республике Казахстан"),
    Locale.KK: (
        "Қазақстан Республикасы",
        "жоқ: деректер базалары Қазақстан Республикасында орналасқан",
    ),
    Locale.EN: (
        "the Republic of Kazakhstan",
        "none: the databases stand in the Republic of Kazakhstan",
    ),
}
_ABROAD: Final[Mapping[Locale, tuple[str, str]]] = {
    Locale.RU: (
        "{} (код страны по ISO 3166-1)",
        "есть: базы данных находятся за пределами Казахстана",
    ),
    Locale.KK: (
        "{} (ISO 3166-1 бойынша ел коды)",
        "иә: деректер базалары Қазақстаннан тыс жерде орналасқан",
    ),
    Locale.EN: (
        "{} (country code of ISO 3166-1)",
        "yes: the databases stand outside Kazakhstan",
    ),
}


def _days_in_russian(count: int) -> str:
    if count % 10 == 1 and count % 100 != 11:  # noqa: PLR2004 - how the language counts
        return "день"
    if count % 10 in {2, 3, 4} and count % 100 not in {12, 13, 14}:
        return "дня"
    return "дней"


_DAYS: Final[Mapping[Locale, Callable[[int], str]]] = {
    Locale.RU: _days_in_russian,
    Locale.KK: lambda _count: "күн",
    Locale.EN: lambda count: "day" if count == 1 else "days",
}


_UNTIL_ERASURE: Final[Mapping[Locale, str]] = {
    Locale.RU: "до удаления учётной записи, сколько бы времени ни прошло",
    Locale.KK: "қанша уақыт өтсе де, есептік жазба жойылғанға дейін",
    Locale.EN: "until the account is erased, however long",
}
"""The texts go on "after it was measured", in Kazakh before it."""


_REPORTS_KEPT: Final[Mapping[Locale, str]] = {
    Locale.RU: "{} после планового окончания рейса",
    Locale.KK: "рейстің жоспарлы аяқталуынан кейін {}",
    Locale.EN: "{} after the planned end of the route",
}
_REPORTS_NOT_KEPT: Final[Mapping[Locale, str]] = {
    Locale.RU: "не хранится, вычисляется заново из трека по запросу",
    Locale.KK: "сақталмайды, ол сұралған сайын тректен қайта есептеледі",
    Locale.EN: "not kept, it is computed anew from the track when asked for",
}


def _days_in(language: Locale, count: int) -> str:
    return f"{count} {_DAYS[language](count)}"


def filled(text: str, controller: Controller, language: Locale) -> str:
    """Return the text with the company's particulars in their places."""
    at_home = controller.storage_country == HOME_COUNTRY
    country, transfer = (_AT_HOME if at_home else _ABROAD)[language]
    days, report_days = controller.track_days, controller.report_days
    values = {
        **_UNSTATED[language],
        "company_name": controller.company_name,
        "storage_country": country.format(controller.storage_country),
        "cross_border": transfer,
        "track_days": (_UNTIL_ERASURE[language] if days is None else _days_in(language, days)),
        "reports_kept": (
            _REPORTS_NOT_KEPT[language]
            if report_days is None
            else _REPORTS_KEPT[language].format(_days_in(language, report_days))
        ),
        **({} if controller.bin is None else {"bin": controller.bin}),
        **(
            {}
            if controller.privacy_contact is None
            else {"privacy_contact": controller.privacy_contact}
        ),
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
