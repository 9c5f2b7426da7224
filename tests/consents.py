"""Giving and withdrawing consents in tests: with the driver notice that every company ships."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from server.accounts.model import Locale
from server.consent import service
from server.consent.model import (
    Answer,
    Consent,
    ConsentAct,
    ConsentItem,
    LocationTerms,
    NoticeShown,
)
from server.kit.db import Connection
from server.policies.model import Document, sha256_of
from server.policies.service import shipped

BIN: Final = "123456789012"
CONTACT: Final = "privacy@aral.example"
NOTICE: Final = NoticeShown(
    edition=1,
    language=Locale.EN,
    sha256=sha256_of(shipped(Document.DRIVER_NOTICE)[Locale.EN]),
)
NOTICE_BODY: Final[dict[str, Any]] = {
    "document": "driver_notice",
    "edition": NOTICE.edition,
    "language": NOTICE.language.value,
    "sha256": NOTICE.sha256,
}
DEVICE_NOTICE_BODY: Final[dict[str, Any]] = {
    "edition": 1,
    "language": "en",
    "sha256": sha256_of(shipped(Document.DEVICE_NOTICE)[Locale.EN]),
}


def body(item: str, answer: str = "given", **more: Any) -> dict[str, Any]:
    """Return what a driver's app sends."""
    return {"item": item, "answer": answer, "notice": NOTICE_BODY, **more}


async def answer(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: str,
    act: ConsentAct,
    *,
    now: datetime,
    terms: LocationTerms | None = None,
    notice: NoticeShown = NOTICE,
    epoch: int | None = None,
) -> Consent:
    answered = Answer(item=ConsentItem(item), act=act, notice=notice, terms=terms, epoch=epoch)
    return await service.answer(conn, company_id, driver_id, answered, now=now)


async def give(
    conn: Connection, company_id: UUID, driver_id: UUID, *items: str, now: datetime
) -> None:
    for item in items:
        await answer(conn, company_id, driver_id, item, ConsentAct.GIVE, now=now)


async def withdraw(
    conn: Connection, company_id: UUID, driver_id: UUID, *items: str, now: datetime
) -> None:
    """Inside ``gate.service.stopping``."""
    for item in items:
        await service.withdraw(conn, company_id, driver_id, ConsentItem(item), now=now)
