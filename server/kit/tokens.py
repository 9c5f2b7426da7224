"""Opaque tokens: the company in clear, so that row-level security is set before any look-up."""

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

SECRET_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 128
PARSED_MAX: Final = 20_000
_KIND: Final = re.compile("[a-z]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a caller presents. Only ``digest`` is ever stored."""

    kind: str
    company_id: UUID
    digest: bytes = field(repr=False)


def mint(kind: str, company_id: UUID) -> tuple[str, bytes]:
    """Return a new token's text, shown once, and the digest to store."""
    if _KIND.fullmatch(kind) is None:
        raise ValueError("a token's kind is one to eight lower-case letters")
    secret = secrets.token_bytes(SECRET_BYTES)
    text = f"{kind}_{_encode(company_id.bytes)}_{_encode(secret)}"
    return text, hashlib.sha256(secret).digest()


def written(company_id: UUID) -> bytes:
    """Return how tokens write their company."""
    return _encode(company_id.bytes).encode()


def parse(text: str) -> Token | None:
    """Return what the text claims to be, or None if it cannot be a token of ours."""
    if len(text) > TOKEN_CHARS_MAX:
        return None
    kind, _, rest = text.partition("_")
    # '_' is also a letter of URL-safe base64, so the parts are cut by their known lengths.
    company, secret = rest[:22], rest[23:]
    if rest[22:23] != "_" or _KIND.fullmatch(kind) is None:
        return None
    company_bytes, secret_bytes = _decode(company), _decode(secret)
    if company_bytes is None or secret_bytes is None:
        return None
    if len(company_bytes) != 16 or len(secret_bytes) != SECRET_BYTES:  # noqa: PLR2004 - a UUID
        return None
    return Token(
        kind=kind,
        company_id=UUID(bytes=company_bytes),
        digest=hashlib.sha256(secret_bytes).digest(),
    )


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # One token has one spelling: base64 lets the last letter's spare bits vary.
    return raw if _encode(raw) == text else None


class ParsedTokens:
    """Tokens by the digest of their text, because to parse one costs five times a look-up.

    Neither the text nor the secret is held.
    """

    def __init__(self, tokens_max: int = PARSED_MAX) -> None:
        self._tokens_max = tokens_max
        self._parsed: dict[bytes, Token] = {}

    def parsed(self, text: str) -> Token | None:
        """Return what the text claims to be, or None if it cannot be a token of ours."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        token = self._parsed.get(digest)
        if token is None:
            token = parse(text)
            if token is not None:
                if len(self._parsed) >= self._tokens_max:
                    self._parsed.clear()
                self._parsed[digest] = token
        return token
