"""What an operator types that cannot be: one clear sentence, and never a traceback."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_commands import folder, jolda, told


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.mark.parametrize("kind", ["receipt", "certificate"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    there = tmp_path / "document.json"
    there.write_text("{}")
    absent = str(tmp_path / "absent.json")

    for words, why in (
        ((absent,), "No such file or directory"),
        ((str(tmp_path),), "Is a directory"),
        ((f"{there}/inside",), "Not a directory"),
        (("\x1b[2J",), "No such file or directory"),
    ):
        done = jolda(kind, "verify", *words, home=tmp_path)
        sentence = told(done, 2)
        assert sentence.endswith(f"cannot be read: {why}.")
        assert sentence.isprintable()


def test_what_a_company_cannot_be_is_told(home: Path) -> None:
    def create(**changed: str) -> subprocess.CompletedProcess[str]:
        said = {
            "name": "Aral Freight",
            "time_zone": "Asia/Almaty",
            "main_user_name": "Aigerim",
            "main_user_email": "aigerim@aral.example",
        } | changed
        words = [word for name, value in said.items() for word in (f"--{name}", value)]
        return jolda("company", "create", *(w.replace("_", "-") for w in words), home=home)

    told(create(main_user_email="nobody"))
    for empty in ("name", "main_user_name"):
        for text in ("", " ", "A\x01", "A" * 201):
            done = create(**{empty: text})
            assert done.returncode == 2
            assert "one line of 1 to 200 characters" in done.stderr
    told(create(time_zone="Mars/Olympus"))


@pytest.mark.parametrize(
    "words",
    [
        ("ledger", "verify", "--company", "01a20936-0289-7595-bde3-747b4a77596b"),
        ("retention", "--company", "01a20936-0289-7595-bde3-747b4a77596b"),
        (
            "company",
            "keep",
            "--company",
            "01a20936-0289-7595-bde3-747b4a77596b",
            "--track-days",
            "9",
        ),
        ("restore", "/nowhere", "--main"),
        ("restore", "/nowhere", "--keys"),
        ("restore", "/etc/passwd", "--main"),
        ("backup", "/etc/passwd"),
        ("backup", "/proc/jolda"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_told(home: Path, words: tuple[str, ...]) -> None:
    told(jolda(*words, home=home))
