"""Texts about several persons: each is sealed under the key of everybody whom it names.

Whoever of them is erased takes the text along, out of old backups too: without their key it does
not open, whoever else is still there.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from server.vault.model import Category, SealedText
from server.vault.service import Vault

_SEALED: Final = "sealed:"
"""Begins what has to be opened once more."""


async def seal(
    vault: Vault,
    company_id: UUID,
    subject_ids: Sequence[UUID],
    category: Category,
    text: str,
    *,
    row_id: UUID,
    schema: str,
    now: datetime,
) -> bytes:
    """Seal a text under the keys of all its subjects, the first one's outermost.

    Raises
    ------
    SubjectErased
        One of them is.
    ValueError
        The text begins as a sealed one does.
    """
    if text.startswith(_SEALED):
        raise ValueError(f"a shared text does not begin with {_SEALED!r}")
    seal_for = partial(
        vault.seal_text, company_id, category=category, row_id=row_id, schema=schema, now=now
    )
    outermost, *others = subject_ids
    for subject_id in others:
        text = _SEALED + b64encode(await seal_for(subject_id, text=text)).decode()
    return await seal_for(outermost, text=text)


async def opened(
    vault: Vault, company_id: UUID, items: Sequence[SealedText | None]
) -> list[str | None]:
    """Open many texts; None where one of the keys is gone or there was no text."""
    texts = await vault.open_texts(company_id, items, of_many=True)
    while any(_is_sealed(text) for text in texts):
        inner = [_inner(item, text) for item, text in zip(items, texts, strict=True)]
        again = await vault.open_texts(company_id, inner, of_many=True)
        texts = [
            text if item is None else deeper
            for text, item, deeper in zip(texts, inner, again, strict=True)
        ]
    return texts


def _is_sealed(text: str | None) -> bool:
    return text is not None and text.startswith(_SEALED)


def _inner(item: SealedText | None, text: str | None) -> SealedText | None:
    if item is None or text is None or not _is_sealed(text):
        return None
    return replace(item, sealed=b64decode(text.removeprefix(_SEALED)))
