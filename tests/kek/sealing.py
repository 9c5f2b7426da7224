"""A sealed text, to see whether it still opens."""

from typing import Final
from uuid import UUID

from server.vault.model import Category, SealedText
from tests.world import NOW, World

PHONE: Final = "+7 701 000 00 00"


async def sealed_phone(world: World, member_id: UUID) -> SealedText:
    sealed = await world.vault.seal_text(
        world.company_id,
        member_id,
        Category.CONTACT,
        PHONE,
        row_id=member_id,
        schema="member.phone",
        now=NOW,
    )
    return SealedText(sealed=sealed, row_id=member_id, schema="member.phone")
