"""Opening details as whoever holds a member's key could: the program itself opens none."""

from collections.abc import Sequence
from uuid import UUID

from server.ledger import model
from server.ledger.model import Entry
from server.vault.model import Category
from server.vault.service import Vault
from tests.world import NOW


async def open_details(
    vault: Vault, company_id: UUID, member_id: UUID, entries: Sequence[Entry]
) -> list[bytes | None]:
    """Return details that were sealed to a member: canonical JSON, None where there is none.

    Raises
    ------
    SubjectErased
    """
    private_key = model.private_key_of(
        await vault.key(company_id, member_id, Category.LEDGER, at=NOW)
    )
    return [model.open_detail(private_key, entry) for entry in entries]
