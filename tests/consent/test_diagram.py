"""The docs draw the state machine that the code runs."""

from tests.consent.diagram import DOCUMENT, drawn, written


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    document = DOCUMENT.read_text("utf-8")

    assert drawn() in document
    assert written(document) == document


def test_a_diagram_that_was_edited_is_found() -> None:
    document = DOCUMENT.read_text("utf-8")

    edited = document.replace("given --> withdrawn: withdraw", "given --> given: withdraw")

    assert edited != document
    assert drawn() not in edited
