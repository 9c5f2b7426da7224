"""Drivers are told how long reports are kept, where they are, and that they are not."""

import pytest

from server.accounts.model import Locale
from server.policies import service
from server.policies.model import Controller, Document
from server.policies.particulars import filled
from tests.world import World

SAID = {
    Locale.RU: ("365 дней после планового окончания рейса", "не хранится"),
    Locale.KK: ("рейстің жоспарлы аяқталуынан кейін 365 күн", "сақталмайды"),
    Locale.EN: ("365 days after the planned end of the route", "not kept"),
}


@pytest.mark.parametrize("language", list(Locale))
@pytest.mark.parametrize("document", [Document.DRIVER_NOTICE, Document.PRIVACY_NOTICE])
def test_a_notice_says_how_long_reports_are_kept(document: Document, language: Locale) -> None:
    template = service.shipped(document)[language]
    kept, not_kept = SAID[language]

    def shown(days: int | None) -> str:
        controller = Controller(
            company_name="A", storage_country="KZ", track_days=60, report_days=days
        )
        return filled(template, controller, language)

    assert template.count("{reports_kept}") == 1
    assert kept in shown(365)
    assert kept not in shown(None)
    assert shown(None).count(not_kept) == shown(365).count(not_kept) + 1


async def test_a_new_company_keeps_reports_as_long_as_its_texts_say(world: World) -> None:
    assert await world.owner.fetchval("SELECT report_days FROM company") == 365
