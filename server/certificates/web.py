"""The certificate of an erasure, as a file."""

from typing import Final
from uuid import UUID

from aiohttp import web

from server.certificates import service
from server.certificates.model import CertificateNotReady
from server.credentials.access import CALLER, STAFF
from server.erasure.model import ErasureMissing
from server.kit.api import Endpoint, Media, endpoint
from server.kit.web import COMPANY, transaction

CERTIFICATE: Final = Media(
    content_type="application/json",
    schema={
        "type": "object",
        "description": "A certificate of an erasure; see docs/reference/erasure-certificate.md.",
    },
)


@endpoint(
    "GET",
    "/v1/erasure-requests/{request_id}/certificate",
    access=STAFF,
    raises=(ErasureMissing, CertificateNotReady),
    media=(CERTIFICATE,),
)
async def read_certificate(request: web.Request, *, request_id: UUID) -> web.Response:
    """Download the signed certificate of an erasure: it is verified without this server."""
    async with transaction(request, readonly=True) as conn:
        found = await service.certificate(
            conn, request[COMPANY], request_id, caller=request[CALLER]
        )
    return web.Response(
        body=found.document.encode(),
        content_type=CERTIFICATE.content_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="erasure-{request_id}.json"',
        },
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_certificate,)
