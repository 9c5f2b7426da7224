"""The page of the figures: what the commands may write, and what has to stand there."""

import json
import re
from pathlib import Path

import pytest

from bench import page
from bench.page import measured_on, rewrite, section_of, target_table
from bench.targets import SOAK_TARGETS, TARGETS, Target
from tests.proofs import Row


@pytest.mark.parametrize(
    ("section", "targets"), [("bench", TARGETS), ("soak", SOAK_TARGETS)], ids=["bench", "soak"]
)
def test_the_page_has_a_row_for_every_target(section: str, targets: tuple[Target, ...]) -> None:
    text = section_of(section)

    assert [one.name for one in targets if f"| {one.name} | {one.target} |" not in text] == []


def test_no_two_targets_ask_for_the_same_figure() -> None:
    figures = [name for target in (*TARGETS, *SOAK_TARGETS) for name in target.figures]

    assert len(figures) == len(set(figures))


def test_only_what_is_between_the_comments_is_rewritten(tmp_path: Path) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text(page.PAGE.read_text("utf-8"), "utf-8")

    rewrite("soak", "| new |", copy)

    assert section_of("soak", copy) == "\n\n| new |\n\n"
    assert section_of("bench", copy) == section_of("bench")
    assert _outside(copy) == _outside(page.PAGE)


def _outside(file: Path) -> str:
    between = re.compile(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", re.DOTALL)
    return between.sub("", file.read_text("utf-8"))


def test_a_page_without_the_comments_is_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# Other\n<!-- soak: begin -->\n", "utf-8")

    with pytest.raises(ValueError, match="no place"):
        rewrite("soak", "| new |", other)

    assert other.read_text("utf-8") == "# Other\n<!-- soak: begin -->\n"


def test_a_target_of_two_figures_shows_both_and_says_which_is_met() -> None:
    target = Target("cost, a / b", "<= 1 us / <= 2 us", ("a", "b"))
    rows = [
        Row(figure="a", value=0.5, unit="us", target="<= 1", met=True, baseline=9),
        Row(figure="b", value=3, unit="us", target="<= 2", met=False, baseline=8),
    ]

    line = target_table([target], rows).splitlines()[-1]

    shown = "| cost, a / b | <= 1 us / <= 2 us | 0.5 us / 3 us | 9 us / 8 us | yes / **no** |"
    assert line == shown
    assert "not measured" in target_table([target], rows[:1])


@pytest.mark.parametrize(
    ("commit", "shown"),
    [
        ("addc7e97327ea4b850bfcf8d0c00d0965d2fc529", "`addc7e97327e`,"),
        ("addc7e97327ea4b850bfcf8d0c00d0965d2fc529+", "`addc7e97327e` with changes,"),
        ("unknown", "`unknown`,"),
    ],
)
def test_figures_of_a_changed_tree_are_not_said_to_be_of_the_commit(
    commit: str, shown: str, tmp_path: Path
) -> None:
    published = tmp_path / "run.json"
    told = {"started_at": "2026-11-23T08:57:23Z", "seconds": 300.0, "size": "full"}
    published.write_text(json.dumps(told | {"commit": commit, "machine": "a machine"}), "utf-8")

    assert f"at commit {shown} size full" in measured_on(published)
