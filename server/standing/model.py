"""How an account stands: which act of whom leads from where to where, as one table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from server.credentials.model import MemberState, MemberStateRefused
from server.kit.errors import Refused
from server.ledger.model import Actor, ActorKind

READS_FOR: Final = timedelta(days=30)
"""So long who was off-boarded still logs in, to read and to export."""


class Act(StrEnum):
    """What is done to an account. Of an erasure only what touches the account itself."""

    INVITE = "invite"
    INVITE_AGAIN = "invite_again"
    """A new code: for who has not accepted, or for who left and wants to read what is kept."""
    JOIN = "join"
    """Accept an invitation and choose a password."""
    BLOCK = "block"
    UNBLOCK = "unblock"
    LOSE_PHONE = "lose_phone"
    OFFBOARD = "offboard"
    TAKE_BACK = "take_back"
    """Invite once more who was off-boarded; what they had agreed to is over."""
    ASK_ERASURE = "ask_erasure"
    CLOSE_COMPANY = "close_company"
    """The erasure that comes of it."""
    APPROVE_ERASURE = "approve_erasure"
    CALL_OFF_ERASURE = "call_off_erasure"
    """Cancel it in its grace, or refuse it all the same."""
    BEGIN_ERASING = "begin_erasing"


class By(StrEnum):
    """Who acts on an account."""

    PERSON = "person"
    """Whose account it is."""
    DISPATCHER = "dispatcher"
    MAIN_USER = "main_user"
    API_TOKEN = "api_token"  # noqa: S105 - a kind of caller, no secret
    OPERATOR = "operator"
    """Of the platform: by the order of an authority, or once more after a backup was restored."""
    SERVER = "server"
    """By itself, when a time is over."""


class BlockReason(StrEnum):
    """Why an account is blocked or off-boarded."""

    LEFT = "left"
    LOST_PHONE = "lost_phone"
    MISUSE = "misuse"
    OTHER = "other"
    OWN_WISH = "own_wish"
    """The person disabled their own account."""
    IDLE = "idle"
    UNVERIFIED = "unverified"
    """Nobody ever accepted the invitation."""
    LEGAL_ORDER = "legal_order"


_BY: Final[Mapping[ActorKind, By]] = {
    ActorKind.DRIVER: By.PERSON,
    ActorKind.DISPATCHER: By.DISPATCHER,
    ActorKind.MAIN_USER: By.MAIN_USER,
    ActorKind.API_TOKEN: By.API_TOKEN,
    ActorKind.OPERATOR: By.OPERATOR,
    ActorKind.SYSTEM: By.SERVER,
}
_INVITED, _ACTIVE, _BLOCKED = MemberState.INVITED, MemberState.ACTIVE, MemberState.BLOCKED
_LEFT, _GRACE, _ERASING = MemberState.OFFBOARDED, MemberState.GRACE, MemberState.ERASING
_STAFF: Final = (By.DISPATCHER, By.MAIN_USER)
_ANYBODY: Final = (By.PERSON, *_STAFF, By.API_TOKEN, By.OPERATOR)

# Who may do what to a driver's account, and what becomes of it. The state before None: there is no
# such member yet. The state after None: what it was before the erasure was asked for; a blocked
# driver does not unblock themself by that. What is absent is refused.
_ROWS: Final[
    tuple[tuple[Act, tuple[By, ...], Mapping[MemberState | None, MemberState | None]], ...]
] = (
    (Act.INVITE, _STAFF, {None: _INVITED}),
    (Act.INVITE_AGAIN, _STAFF, {_INVITED: _INVITED, _LEFT: _LEFT}),
    # Whoever joins once more has lost their phone, or comes back to read: nothing is lifted by it.
    (
        Act.JOIN,
        (By.PERSON,),
        {
            _INVITED: _ACTIVE,
            _ACTIVE: _ACTIVE,
            _BLOCKED: _BLOCKED,
            _LEFT: _LEFT,
            _GRACE: _GRACE,
        },
    ),
    (Act.BLOCK, (*_ANYBODY, By.SERVER), {_ACTIVE: _BLOCKED}),
    (Act.UNBLOCK, _ANYBODY, {_BLOCKED: _ACTIVE}),  # not each each other's: `refuse_lifting`
    (
        Act.LOSE_PHONE,
        (By.PERSON, *_STAFF),
        {_ACTIVE: _ACTIVE, _BLOCKED: _BLOCKED, _GRACE: _GRACE},
    ),
    (
        Act.OFFBOARD,
        (*_STAFF, By.OPERATOR),
        {_INVITED: _LEFT, _ACTIVE: _LEFT, _BLOCKED: _LEFT},
    ),
    (Act.OFFBOARD, (By.SERVER,), {_INVITED: _LEFT}),
    (Act.TAKE_BACK, _STAFF, {_LEFT: _INVITED}),
    (
        Act.ASK_ERASURE,
        (By.PERSON,),
        {_INVITED: _INVITED, _ACTIVE: _ACTIVE, _BLOCKED: _BLOCKED, _LEFT: _LEFT},
    ),
    (
        Act.ASK_ERASURE,
        _STAFF,
        {_INVITED: _GRACE, _ACTIVE: _GRACE, _BLOCKED: _GRACE, _LEFT: _GRACE},
    ),
    (
        Act.CLOSE_COMPANY,
        (By.SERVER,),
        {_INVITED: _GRACE, _ACTIVE: _GRACE, _BLOCKED: _GRACE, _LEFT: _GRACE},
    ),
    (
        Act.APPROVE_ERASURE,
        _STAFF,
        {_INVITED: _GRACE, _ACTIVE: _GRACE, _BLOCKED: _GRACE, _LEFT: _GRACE},
    ),
    (Act.CALL_OFF_ERASURE, (By.PERSON, *_STAFF), {_GRACE: None}),
    (Act.BEGIN_ERASING, (By.SERVER,), {_GRACE: _ERASING}),
)
TRANSITIONS: Final[Mapping[tuple[MemberState | None, Act, By], MemberState | None]] = {
    (before, act, by): after
    for act, whose, moves in _ROWS
    for by in whose
    for before, after in moves.items()
}
ERASABLE: Final = frozenset({_INVITED, _ACTIVE, _BLOCKED, _LEFT})
"""What an account can have been before its erasure, and is again when that is called off."""
MOVES: Final = frozenset(
    (before, state)
    for (before, _, _), after in TRANSITIONS.items()
    if before is not None
    for state in (ERASABLE if after is None else {after})
)
"""From which state to which, whoever acts: for those whose acts have a table of their own."""


def refuse_move(before: MemberState, after: MemberState) -> None:
    """Refuse what no act leads to.

    Raises
    ------
    MemberStateRefused
    """
    if (before, after) not in MOVES:
        raise MemberStateRefused(before, after)


def by_of(actor: Actor) -> By:
    """Return as whom the actor acts on an account; a device or a customer acts on none."""
    return _BY[actor.kind]


def role_word(actor: Actor) -> str:
    """Return how notices call who acted."""
    return "forgotten" if actor.kind is ActorKind.SYSTEM else actor.kind.value


def lifted_by(reason: BlockReason) -> str:
    """Return how notices call whoever lifts a block: what :func:`refuse_lifting` lets."""
    if reason is BlockReason.LEGAL_ORDER:
        return "authority"
    return "self" if reason in {BlockReason.OWN_WISH, BlockReason.IDLE} else "company"


def ordered(reference: str | None) -> dict[str, str]:
    """Return what the ledger says of the order by which something was done; of none, nothing."""
    return {} if reference is None else {"order": reference}


def is_let(state: MemberState | None, act: Act, by: By) -> bool:
    return (state, act, by) in TRANSITIONS


def next_state(state: MemberState, act: Act, by: By) -> MemberState:
    """Return what the account becomes; of a call-off the caller knows.

    Raises
    ------
    MemberStateRefused
    """
    after = TRANSITIONS.get((state, act, by))
    if after is None:
        raise MemberStateRefused(state)
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of an account beside its state."""

    joined_at: datetime | None = None
    used_at: datetime | None = None
    warned_at: datetime | None = None
    """The last warning that it will be switched off unless it is used."""
    reason: BlockReason | None = None
    acted_by: By | None = None
    since: datetime | None = None
    order_reference: str | None = None
    reads_until: datetime | None = None


NOTHING_KNOWN: Final = Standing()


def refuse_lifting(standing: Standing, by: By) -> None:
    """Let nobody lift a block that is not theirs to lift.

    A person lifts what they or a time that was over did. What an authority ordered, the operator
    lifts, and nothing else.

    Raises
    ------
    BlockNotYours
    """
    ordered = standing.reason is BlockReason.LEGAL_ORDER
    if ordered is not (by is By.OPERATOR):
        raise BlockNotYours
    if by is By.PERSON and standing.acted_by not in {By.PERSON, By.SERVER}:
        raise BlockNotYours


class BlockNotYours(Refused):
    slug = "block-not-yours"
    title = "This block is not yours to lift"
