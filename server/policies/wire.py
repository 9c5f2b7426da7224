"""What the policies' endpoints read and write."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from server.accounts.model import Locale
from server.kit.wire import Instant, Text, Wire
from server.policies.model import TEXT_CHARS_MAX, AddedItem, ChangeClass, ChangeKind, Document

EDITION_MAX: Final = 100_000

EditionNumber = Annotated[int, Field(ge=1, le=EDITION_MAX)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", max_length=64)]
Markdown = Annotated[str, Text(TEXT_CHARS_MAX, lines=True)]


class CompanyQuery(Wire):
    """Whose policies: there is no log-in that could tell."""

    company_id: UUID


class TextQuery(CompanyQuery):
    language: Locale = Locale.RU


class DiffQuery(Wire):
    since: EditionNumber | None = None
    """Left out: what the caller accepted last."""
    language: Locale = Locale.RU


class ControllerBody(Wire):
    """The company as its texts name it; null takes a statement back."""

    bin: Annotated[str, Field(pattern="^[0-9]{12}$", max_length=12)] | None
    """Business identification number: 12 digits."""
    privacy_contact: Annotated[str, Text(200)] | None
    """Whom to ask about personal data: an address or a phone of the company, public to all."""


class ControllerView(Wire):
    company_name: str
    bin: str | None
    privacy_contact: str | None


class EditionView(Wire):
    document: Document
    edition: int
    change_class: ChangeClass
    adds_purpose: AddedItem | None
    published_at: Instant
    noticed_at: Instant
    effective_at: Instant


class StandingView(Wire):
    document: Document
    in_force: int | None
    """The edition in force now."""
    editions: list[EditionView]
    """All of them, also those that are not in force any more or not yet."""


class PoliciesView(Wire):
    controller: ControllerView
    prevailing_language: Locale
    """Where translations differ, this one holds."""
    items: list[StandingView]


class ShownView(EditionView):
    language: Locale
    """Of the text that is really shown."""
    asked_language: Locale
    fell_back: bool
    """There is no translation into the language that was asked for."""
    prevailing_language: Locale
    text: str
    """To read: Markdown with the company's particulars filled in."""
    template: str
    """What ``sha256`` is of: the same before they were filled in."""
    sha256: str
    authoritative_sha256: str
    """Of the text in the prevailing language."""


class ChangeView(Wire):
    kind: ChangeKind
    heading: str | None
    """The heading that the paragraph stands under."""
    before: str | None
    after: str | None


class DifferenceView(Wire):
    document: Document
    since: int | None
    """Null: nothing was accepted before, so all of it is new."""
    edition: int
    language: Locale
    asked_language: Locale
    fell_back: bool
    changes: list[ChangeView]


class Texts(Wire):
    """One text by language. The Russian one has to be there, because it prevails."""

    ru: Markdown
    kk: Markdown | None = None
    en: Markdown | None = None


class NewEdition(Wire):
    change_class: ChangeClass
    adds_purpose: AddedItem | None = None
    """With ``adds_purpose`` alone: the consent that is suspended until it is given again."""
    effective_at: Instant | None = None
    """Left out: as soon as its class allows."""
    texts: Texts


class NewAcceptance(Wire):
    """The text that was shown: accepting one says nothing of any other."""

    document: Document
    edition: EditionNumber
    language: Locale
    sha256: Sha256


class AnsweredView(Wire):
    clarification_id: UUID
    answered_at: Instant


class ClarifiedView(Wire):
    """What had become of the member's own questions about the edition when they accepted it."""

    answered: tuple[AnsweredView, ...]
    open: int
    """How many waited for an answer."""


class AcceptanceView(Wire):
    document: Document
    edition: int
    language: Locale
    sha256: str
    accepted_at: Instant
    clarified: ClarifiedView


class AcceptancesView(Wire):
    items: list[AcceptanceView]
    outstanding: list[Document]
    """Documents whose edition in force the caller has not accepted."""
