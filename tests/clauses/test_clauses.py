"""The page of the clauses says what the tests say; what it relies on can fail."""

import textwrap

import pytest

from tests.clauses.catalogue import NoSuchClause, clauses
from tests.clauses.collecting import ROOT, proofs
from tests.clauses.page import FILE, page

pytest_plugins = ("pytester",)


def test_the_page_is_what_the_tests_say() -> None:
    written = FILE.read_text(encoding="utf-8")

    assert written == page(proofs()), "Run: python -m tests.clauses"


def test_each_clause_has_an_id_of_its_own_and_a_scope() -> None:
    assert len({one.id for one in clauses()}) == len(clauses())
    assert all(one.is_wanted or one.scope.startswith("out: ") for one in clauses())


def test_a_proof_of_an_unknown_clause_is_refused() -> None:
    with pytest.raises(NoSuchClause, match="nobody:9"):
        page({"nobody:9": ["tests/test_x.py::test_y"]})


def test_a_clause_that_no_test_names_is_not_proved() -> None:
    wanted = next(one for one in clauses() if one.is_wanted)

    with_it = page({wanted.id: ["tests/test_x.py::test_y"]})

    assert "`test_x.py::test_y`" in with_it
    assert "test_y" not in page({})


def run_with_plugin(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeconftest(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.clauses.plugin import *\n"
    )
    pytester.makepyfile(textwrap.dedent(body))
    return pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:cacheprovider")


def test_a_proof_that_is_skipped_fails_the_run(pytester: pytest.Pytester) -> None:
    result = run_with_plugin(
        pytester,
        """
        import pytest

        @pytest.mark.proves("relog-service:1.3")
        @pytest.mark.skip(reason="not today")
        def test_of_a_clause():
            pass

        @pytest.mark.skip(reason="not today")
        def test_of_nothing():
            pass
        """,
    )

    result.assert_outcomes(errors=1, skipped=1)
