"""The company's particulars in a text: who it is, whom to ask, where the data are kept. Pure.

A text's hash is of what it says before they are filled in, so that a new phone number is no new
edition. Where the data are kept every consent record says by itself.
"""

import re
from collections.abc import Mapping
from typing import Final

from server.accounts.model import Locale
from server.policies.model import Controller

HOME_COUNTRY: Final = "KZ"
"""Whose law the texts go by, ISO 3166-1: what is kept elsewhere has crossed its border."""

_PLACEHOLDER: Final = re.compile(
    r"\{(company_name|bin|privacy_contact|storage_country|cross_border)\}"
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


def filled(text: str, controller: Controller, language: Locale) -> str:
    """Return the text with the company's particulars in their places."""
    at_home = controller.storage_country == HOME_COUNTRY
    country, transfer = (_AT_HOME if at_home else _ABROAD)[language]
    values = {
        **_UNSTATED[language],
        "company_name": controller.company_name,
        "storage_country": country.format(controller.storage_country),
        "cross_border": transfer,
        **({} if controller.bin is None else {"bin": controller.bin}),
        **(
            {}
            if controller.privacy_contact is None
            else {"privacy_contact": controller.privacy_contact}
        ),
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
