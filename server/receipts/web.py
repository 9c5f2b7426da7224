"""The driver's receipts."""

from typing import Final
from uuid import UUID

from aiohttp import web

from server.consent.model import ConsentRecordMissing
from server.credentials.access import DRIVER, VAULT, me
from server.credentials.model import MemberMissing
from server.kit.api import Endpoint, Media, endpoint, json_bytes
from server.kit.web import COMPANY, now, transaction
from server.receipts import service

RECEIPT: Final = Media(
    content_type="application/ld+json",
    schema={
        "type": "object",
        "description": "A consent receipt; see docs/reference/consent-records.md.",
    },
)


@endpoint(
    "GET",
    "/v1/me/consents/records/{record_id}/receipt",
    access=DRIVER,
    raises=(ConsentRecordMissing, MemberMissing),
    media=(RECEIPT,),
)
async def read_receipt(request: web.Request, *, record_id: UUID) -> web.Response:
    """Download the signed receipt of one record: JSON-LD that is verified without this server."""
    async with transaction(request) as conn:
        receipt = await service.receipt(
            conn, request.app[VAULT], request[COMPANY], me(request), record_id, now=now(request)
        )
    return web.Response(
        body=json_bytes(receipt),
        content_type=RECEIPT.content_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="consent-{record_id}.jsonld"',
        },
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_receipt,)
