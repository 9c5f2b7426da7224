import pytest

from server.export_files.store import STATEMENTS
from server.kit.ids import uuid7
from server.notice_kinds.kinds import (
    MARKETING_CHANNELS,
    PROSE_CHARS_MAX,
    Category,
    Channel,
    Form,
    NoticeKind,
    Value,
)
from server.notice_kinds.table import KINDS, OF_SECRETS
from server.notice_kinds.words import WORDS
from server.notices.model import persons_named, refuse_misfit
from tests.world import NOW

KIND_NAMES = list(NoticeKind)


def example(value: Value) -> str:  # noqa: PLR0911 - one line a form
    match value.form:
        case Form.INSTANT | Form.DAY:
            return NOW.isoformat()
        case Form.MEMBER:
            return str(uuid7())
        case Form.WORD:
            return min(WORDS[value.words or ""])
        case Form.WORDS:
            return ",".join(sorted(WORDS[value.words or ""]))
        case Form.CODE:
            return "2026-11"
        case Form.SECRET:
            return "0f" * 51
        case Form.ORGANISATION | Form.PROSE:
            return "Новые рейсы"


def examples(kind: NoticeKind) -> dict[str, str]:
    return {name: example(value) for name, value in KINDS[kind].values.items()}


CODES = frozenset({NoticeKind.CONTACT_CODE, NoticeKind.PASSWORD_CODE})


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_service_notice_is_always_in_the_app_and_marketing_never(kind: NoticeKind) -> None:
    one = KINDS[kind]

    # A code proves the address that it was sent to, and so is read nowhere else.
    told_here = one.category is Category.SERVICE and kind not in CODES
    assert (Channel.IN_APP in one.channels) is told_here
    if one.category is Category.MARKETING:
        assert one.channels == MARKETING_CHANNELS


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_kind_takes_its_values_with_and_without_the_optional_ones(kind: NoticeKind) -> None:
    values = examples(kind)
    needed = {name: text for name, text in values.items() if not KINDS[kind].values[name].optional}

    refuse_misfit(kind, values)
    refuse_misfit(kind, needed)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_value_that_is_missing_or_too_many_is_refused(kind: NoticeKind) -> None:
    values = examples(kind)
    first = next(name for name, one in KINDS[kind].values.items() if not one.optional)

    with pytest.raises(ValueError, match=first):
        refuse_misfit(kind, {name: text for name, text in values.items() if name != first})
    with pytest.raises(ValueError, match="surprise"):
        refuse_misfit(kind, {**values, "surprise": "x"})


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (NoticeKind.SHIFT_REMINDER, "ends_at", "tomorrow"),
        (NoticeKind.SHIFT_REMINDER, "ends_at", "2026-11-22T12:00:00"),
        (NoticeKind.ATTESTATION_DISPUTED, "driver", "Aidos Testov"),
        (NoticeKind.ACCOUNT_BLOCKED, "reason", "he shouted"),
        (NoticeKind.INDIRECT_SOURCE, "fields", "name,name"),
        (NoticeKind.INDIRECT_SOURCE, "fields", "name, phone"),
        (NoticeKind.EDITION_PUBLISHED, "edition", "2 <b>"),
        (NoticeKind.MARKETING_NEWS, "message", "x" * (PROSE_CHARS_MAX + 1)),
        (NoticeKind.MARKETING_NEWS, "message", "x\0y"),
    ],
)
def test_a_value_of_another_form_is_refused_without_repeating_it(
    kind: NoticeKind, name: str, text: str
) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        refuse_misfit(kind, {**examples(kind), name: text})

    assert text not in str(refused.value)


def test_a_secret_in_clear_is_refused() -> None:
    values = examples(NoticeKind.CONTACT_CODE)

    with pytest.raises(ValueError, match="code"):
        refuse_misfit(NoticeKind.CONTACT_CODE, {**values, "code": "314159"})


def test_what_a_package_leaves_out_are_the_kinds_with_secrets() -> None:
    assert {NoticeKind.CONTACT_CODE, NoticeKind.PASSWORD_CODE} == OF_SECRETS
    assert all(f"'{kind.value}'" in STATEMENTS["notice"] for kind in OF_SECRETS)


def test_only_marketing_takes_free_text() -> None:
    free = {
        kind for kind, one in KINDS.items() for v in one.values.values() if v.form is Form.PROSE
    }

    assert free == {NoticeKind.MARKETING_NEWS}


def test_who_is_named_is_whoever_a_value_points_to_but_the_reader() -> None:
    driver, reader = uuid7(), uuid7()
    values = {"driver": str(driver), "disputed_at": NOW.isoformat()}

    assert persons_named(NoticeKind.ATTESTATION_DISPUTED, values, reader) == {driver}
    assert persons_named(NoticeKind.ATTESTATION_DISPUTED, values, driver) == set()
    assert persons_named(NoticeKind.DEVICE_ADDED, {"added_at": NOW.isoformat()}, reader) == set()
