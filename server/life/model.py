"""An account as its person sees it. Pure."""

from dataclasses import dataclass
from uuid import UUID

from server.credentials.model import MemberState
from server.standing.model import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    member_id: UUID
    state: MemberState
    standing: Standing
