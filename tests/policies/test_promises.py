"""Our own notices promise what the program does, and the same in each language."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiohttp import ClientSession

from server import background, settings
from server.accounts import service as accounts
from server.accounts.model import Locale
from server.consent.model import ConsentItem
from server.consent.record import JURISDICTION, PROCESSING
from server.databases import Opened
from server.kit import db
from server.kit.db import Pool
from server.policies import service
from server.policies.model import Document
from server.policies.particulars import HOME_COUNTRY
from server.retention.model import first_month_kept
from server.vault.service import Vault
from tests.conftest import Databases
from tests.consent.acts import read_gate, withdraw
from tests.http import Clock
from tests.policies.acts import current
from tests.policies.promises import GRACE, MONTH, Program, faults, iso, tables, terms
from tests.world import World

DAY = timedelta(days=1)
PROGRAM = Program()
languages = pytest.mark.parametrize("language", list(Locale))


def texts_in(language: Locale) -> dict[Document, str]:
    return {document: service.shipped(document)[language] for document in Document}


@pytest.mark.proves("gocargo:collection-and-use-2-voluntary")
@languages
def test_terms_recipients_and_times_of_keeping_are_the_programs(language: Locale) -> None:
    assert faults(texts_in(language), language, PROGRAM) == []


def kept_longer(item: ConsentItem) -> Program:
    return PROGRAM.with_processing(item, replace(PROCESSING[item], kept_for="P1Y"))


@languages
@pytest.mark.parametrize(
    "program",
    [
        *(kept_longer(item) for item in ConsentItem),
        replace(PROGRAM, valid_for=366 * DAY),
        replace(PROGRAM, reads_kept=366 * DAY),
        replace(PROGRAM, latest_kept=timedelta(minutes=16)),
        replace(PROGRAM, links_kept=29 * DAY),
        replace(PROGRAM, stop_events_kept=366 * DAY),
        replace(PROGRAM, notice_period=29 * DAY),
        PROGRAM.with_processing(
            ConsentItem.MARKETING, replace(PROCESSING[ConsentItem.MARKETING], recipients=())
        ),
        PROGRAM.with_processing(
            ConsentItem.PLAN_FACT, replace(PROCESSING[ConsentItem.PLAN_FACT], recipients=("x",))
        ),
    ],
    ids=[
        *(item.value for item in ConsentItem),
        *("term", "reads", "latest", "links", "stop events", "notice"),
        *("one recipient less", "one recipient more"),
    ],
)
def test_a_program_that_does_otherwise_is_found_out(language: Locale, program: Program) -> None:
    """The control, by the program: each figure that is compared can make it fail."""
    assert faults(texts_in(language), language, program) != []


Spoil = Callable[[str], str]
SPOILT: dict[str, tuple[Document, Spoil]] = {
    "term": (Document.DRIVER_NOTICE, lambda text: text.replace("365", "366")),
    "reads": (Document.PRIVACY_NOTICE, lambda text: text.replace("365", "60")),
    "tracks of the driver notice": (
        Document.DRIVER_NOTICE,
        lambda text: text.replace("{track_days}", "365 days"),
    ),
    "tracks of the privacy notice": (
        Document.PRIVACY_NOTICE,
        lambda text: text.replace("{track_days}", "365 days"),
    ),
    "latest": (Document.DRIVER_NOTICE, lambda text: re.sub(r"\b15(?= )", "20", text)),
    "a question without its consequence": (
        Document.DRIVER_NOTICE,
        lambda text: re.sub(r"(\| [^|]*`marketing`[^\n]*\|)[^|\n]+\|\n", r"\1  |\n", text),
    ),
    "no question": (
        Document.DRIVER_NOTICE,
        lambda text: re.sub(r"\| [^|]*`plan_fact`[^\n]*\n", "", text),
    ),
    "a recipient untold": (
        Document.DRIVER_NOTICE,
        lambda text: text.replace("(`notifications`, `marketing`)", "(`marketing`)"),
    ),
    "a border denied": (
        Document.DRIVER_NOTICE,
        lambda text: text.replace("{cross_border}", "нет"),
    ),
    "a purpose untold": (
        Document.PRIVACY_NOTICE,
        lambda text: text.replace("(`notifications`)", ""),
    ),
}
MORE = {
    Locale.RU: "60 дней трека — не более 91 дня в копии.",
    Locale.KK: "60 күндік трек көшірмеде ең көбі 91 күн болады.",
    Locale.EN: "60 days of track mean at most 91 days in a backup.",
}


@languages
@pytest.mark.parametrize("spoilt", list(SPOILT))
def test_a_text_that_says_otherwise_is_found_out(language: Locale, spoilt: str) -> None:
    """The control, by the text."""
    document, spoil = SPOILT[spoilt]
    texts = texts_in(language)
    changed = {**texts, document: spoil(texts[document])}

    assert changed != texts
    assert faults(changed, language, PROGRAM) != []


@languages
@pytest.mark.parametrize("document", list(Document))
def test_a_time_of_which_the_program_knows_nothing_is_found_anywhere(
    language: Locale, document: Document
) -> None:
    texts = texts_in(language)
    changed = {**texts, document: MORE[language] + texts[document]}

    assert len(faults(changed, language, PROGRAM)) == len({"P60D", "P91D"})


NEEDED = {
    Locale.RU: "всё, для чего это согласие требовалось",
    Locale.KK: "осы келісім қажет болғанның бәрі",
    Locale.EN: "whatever this consent was needed for",
}


@languages
def test_of_what_ends_with_a_consent_no_more_is_promised_than_what_needed_it(
    language: Locale,
) -> None:
    """Where it is told how to withdraw, and where the term is: elsewhere recording may go on."""
    text = texts_in(language)[Document.DRIVER_NOTICE]
    withdrawing = text.partition("\n## 5")[2].partition("\n## 6")[0]
    term = next(row for row in tables(text)[1] if "365" in row[1])

    assert NEEDED[language] in withdrawing
    assert NEEDED[language] in term[1]


async def test_one_purpose_that_is_withdrawn_leaves_recording_for_another(
    vault: Vault, app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """What the notice says of the map and of plan and fact, and of location."""
    company = await World.make(vault=vault, pool=app_pool, owner=owner)

    await withdraw(company, company.driver, "dispatch_tracking")
    without_map = await read_gate(company, company.driver)
    await withdraw(company, company.driver, "location")
    without_location = await read_gate(company, company.driver)

    assert (without_map.is_open, without_location.is_open) == (True, False)


async def test_what_is_promised_to_go_by_itself_has_a_job_that_removes_it(
    world: World, databases: Databases, keys_pool: Pool
) -> None:
    """Positions after 15 minutes, tracks and what comes of them, who looked, ended links."""
    opened = Opened(
        dsn=databases.main,
        keys_dsn=databases.keys,
        pool=world.pool,
        keys_pool=keys_pool,
        vault=world.vault,
    )
    jobs = background.jobs_of(opened, settings.read({}), Clock())

    assert "sweep_latest_positions" in jobs.every_minute
    assert set(jobs.every_day) >= {
        *("forget_old_tracks", "forget_old_reads", "forget_links"),
        *("forget_reports", "forget_alerts", "forget_stop_events"),
    }


@pytest.mark.parametrize("days", [1, 30, 60, 365])
def test_a_track_is_read_in_old_copies_for_no_more_than_the_longest_month(days: int) -> None:
    """From the run that removes a position until the one that destroys its month's key."""
    kept, first_run = days * DAY, datetime(2026, 1, 1, 21, 41, tzinfo=UTC) + days * DAY
    positions = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(9_000)]

    def run_after(position: datetime, kept_from: Callable[[datetime], datetime]) -> datetime:
        run = first_run + (position + kept - first_run) // DAY * DAY
        while kept_from(run - kept) <= position:
            run += DAY
        return run

    longer = [
        run_after(one, first_month_kept) - run_after(one, lambda since: since)
        for one in positions[::7] + positions[::24]
    ]

    assert max(longer) == MONTH


@languages
async def test_a_text_names_the_days_for_which_this_company_keeps_tracks(
    client: ClientSession, shipped: World, language: Locale
) -> None:
    await shipped.owner.execute("UPDATE company SET track_days = 33")

    for document in ("driver_notice", "privacy_notice"):
        found = await current(client, shipped, document, language.value)
        assert "33 " in found["text"]
        assert "33 " not in found["template"]
        assert "{track_days}" in found["template"]


async def test_the_days_to_take_ones_data_along_are_those_of_a_new_company(world: World) -> None:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        company = await accounts.company(conn, world.company_id)

    assert timedelta(seconds=company.erasure_grace_s) == GRACE
    for language in Locale:
        assert iso(GRACE) in terms(texts_in(language)[Document.PRIVACY_NOTICE], language)


@pytest.mark.parametrize(
    ("country", "said", "crossing"),
    [("KZ", "Республика Казахстан", "нет: "), ("DE", "DE (", "есть: ")],
)
async def test_the_country_is_the_one_in_which_the_company_is_stored(
    client: ClientSession, shipped: World, country: str, said: str, crossing: str
) -> None:
    await shipped.owner.execute(
        "UPDATE company SET storage_country = $2 WHERE company_id = $1",
        shipped.company_id,
        country,
    )

    notice = await current(client, shipped)
    rows = dict(row for row in tables(notice["text"])[1])
    privacy = await current(client, shipped, "privacy_notice")

    assert HOME_COUNTRY == JURISDICTION
    assert rows["Страна хранения"].startswith(said)
    assert rows["Трансграничная передача"].startswith(crossing)
    assert said in privacy["text"]
    assert crossing in privacy["text"]
    assert ("Казахстан" in rows["Страна хранения"]) is (country == "KZ")
