"""What the closing of a company will end. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    drivers: int
    erasures: int
    """Of so many of them the erasure is under way already."""
    held: int
    """Of so many drivers something is held; that stays until the hold ends."""
    staff: int
    api_tokens: int
    links: int
    shifts: int
