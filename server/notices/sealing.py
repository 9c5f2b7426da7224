"""A notice's text as it is kept: sealed under the key of its reader, and of everybody it names.

Whoever of them is erased takes the text along, out of old backups too: without their key it does
not open, whoever else is still there.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from server.notices.kinds import persons_named
from server.notices.model import Notice, NoticeText
from server.vault.model import Category, SealedText
from server.vault.service import Vault

TEXT_SCHEMA: Final = "notice.text"
_SEALED: Final = "sealed:"
"""Begins what has to be opened once more. No text begins so: each is a JSON list."""


async def seal(
    vault: Vault, company_id: UUID, notice: Notice, text: NoticeText, *, now: datetime
) -> bytes:
    """Seal the text of a notice that still has its facts.

    Raises
    ------
    SubjectErased
        Of the reader or of somebody whom the text names.
    """
    seal_for = partial(
        vault.seal_text,
        company_id,
        category=Category.CONTACT,
        row_id=notice.notice_id,
        schema=TEXT_SCHEMA,
        now=now,
    )
    content = json.dumps([text.title, text.body, text.short], ensure_ascii=False)
    for member_id in sorted(persons_named(notice.kind, notice.facts, notice.member_id)):
        content = _SEALED + b64encode(await seal_for(member_id, text=content)).decode()
    return await seal_for(notice.member_id, text=content)


async def opened(
    vault: Vault, company_id: UUID, notices: Sequence[Notice]
) -> list[NoticeText | None]:
    """Return the sealed texts; None where there is none yet, or one of the keys is gone."""
    items = [_item(one, one.text_sealed) for one in notices]
    contents = await vault.open_texts(company_id, items)
    while any(_is_sealed(one) for one in contents):
        items = [
            _item(one, _inner(content)) for one, content in zip(notices, contents, strict=True)
        ]
        again = await vault.open_texts(company_id, items)
        contents = [
            content if item is None else inner
            for content, item, inner in zip(contents, items, again, strict=True)
        ]
    return [
        None if content is None else _text(content, one.language or "")
        for one, content in zip(notices, contents, strict=True)
    ]


def _item(notice: Notice, sealed: bytes | None) -> SealedText | None:
    if sealed is None:
        return None
    return SealedText(sealed=sealed, row_id=notice.notice_id, schema=TEXT_SCHEMA)


def _is_sealed(content: str | None) -> bool:
    return content is not None and content.startswith(_SEALED)


def _inner(content: str | None) -> bytes | None:
    if content is None or not _is_sealed(content):
        return None
    return b64decode(content.removeprefix(_SEALED))


def _text(content: str, language: str) -> NoticeText:
    title, body, short = json.loads(content)
    return NoticeText(language=language, title=title, body=body, short=short)
