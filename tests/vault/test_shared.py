from collections.abc import Sequence
from uuid import UUID

import pytest

from server.kit.ids import uuid7
from server.vault import shared
from server.vault.model import Category, SealedText
from server.vault.service import Vault
from tests.world import NOW

SCHEMA = "test.text"
ROW_ID = uuid7()


@pytest.fixture
async def company_id(vault: Vault) -> UUID:
    found = uuid7()
    await vault.create_company(found, NOW)
    return found


async def subjects(vault: Vault, company_id: UUID, count: int) -> list[UUID]:
    made = [uuid7() for _ in range(count)]
    for subject_id in made:
        await vault.create_subject(company_id, subject_id)
    return made


async def sealed(
    vault: Vault, company_id: UUID, subject_ids: Sequence[UUID], text: str
) -> SealedText:
    kept = await shared.seal(
        vault,
        company_id,
        subject_ids,
        Category.CONTACT,
        text,
        row_id=ROW_ID,
        schema=SCHEMA,
        now=NOW,
    )
    return SealedText(sealed=kept, row_id=ROW_ID, schema=SCHEMA)


async def test_texts_about_one_or_several_open_together(vault: Vault, company_id: UUID) -> None:
    persons = await subjects(vault, company_id, 3)
    items = [await sealed(vault, company_id, persons[:n], f"about {n}") for n in (1, 2, 3)]

    found = await shared.opened(vault, company_id, [items[2], None, items[0], items[1]])

    assert found == ["about 3", None, "about 1", "about 2"]


@pytest.mark.parametrize("erased", range(3))
async def test_whoever_is_erased_takes_the_text_along(
    vault: Vault, company_id: UUID, erased: int
) -> None:
    persons = await subjects(vault, company_id, 3)
    about_all = await sealed(vault, company_id, persons, "about all")
    others = [one for one in persons if one != persons[erased]]
    about_others = await sealed(vault, company_id, others, "about the others")

    await vault.destroy(company_id, persons[erased], NOW)

    found = await shared.opened(vault, company_id, [about_all, about_others])
    assert found == [None, "about the others"]


async def test_a_text_that_looks_sealed_is_refused(vault: Vault, company_id: UUID) -> None:
    persons = await subjects(vault, company_id, 1)

    with pytest.raises(ValueError, match="does not begin"):
        await sealed(vault, company_id, persons, "sealed: or not")
