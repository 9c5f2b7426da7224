"""Loaded by schemathesis: what JSON Schema says differently than this API."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

# Its own addresses are at .test, which no mail reaches: such are refused here.
schemathesis.openapi.format(
    "email", st.from_regex(r"[a-z][a-z0-9+-]{0,8}[a-z]@[a-z]{1,9}[.]kz", fullmatch=True)
)


@schemathesis.hook
def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    """Say what the schema cannot: 1.0 is no whole number here, and private planes are no text."""
    return said(body)


def said(value: Any) -> Any:
    match value:
        case str():
            return "".join(char if char < "\U000f0000" else "x" for char in value)
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: said(one) for name, one in value.items()}
        case list():
            return [said(one) for one in value]
        case _:
            return value
