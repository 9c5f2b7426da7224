"""Whose processor time a sample counts for."""

import pytest

from bench.layers import LAYERS, LOOP, layer_of, shares
from tests.proofs import ROOT

OUTER = "main (/x/server/__main__.py:67);run (/lib/asyncio/runners.py:118)"
TAKEN = f"{OUTER};data_received (/x/server/kit/http_connection.py:80)"


@pytest.mark.parametrize(
    ("inner", "layer"),
    [
        ("", "HTTP: parsing, admission, answers"),
        (";parse (/x/server/kit/tokens.py:9)", "authentication: token, device, what is believed"),
        (";read (/x/server/uploads/wire.py:9);loads (/lib/json/__init__.py:3)", "decoding: JSON"),
        (";judge (/x/server/uploads/usual.py:9)", "filter: windows"),
        (";pack (/x/server/tracking/codec.py:9);diff (/lib/numpy/function_base.py:1)", "packing"),
        (";seal (/x/server/vault/model.py:9)", "sealing"),
        (";submit (/x/server/deposits/committer.py:9)", "commit"),
    ],
)
def test_a_sample_counts_for_the_innermost_frame_that_belongs_to_a_layer(
    inner: str, layer: str
) -> None:
    assert layer_of(TAKEN + inner).startswith(layer)


def test_what_belongs_to_no_layer_is_the_loop_and_its_sockets() -> None:
    assert layer_of(OUTER) == LOOP


def test_shares_are_of_all_samples() -> None:
    found = shares([f"{OUTER} 6", f"{TAKEN} 3", f"{TAKEN};seal (/x/server/vault/model.py:9) 1"])

    assert sum(found.values()) == pytest.approx(1.0)
    assert found[LOOP] == pytest.approx(0.6)
    assert shares([]) == {}


def test_every_place_of_a_layer_is_there() -> None:
    ours = [place for places in LAYERS.values() for place in places if place.startswith("server/")]
    gone = [
        place
        for place in ours
        if not (ROOT / place).exists() and not list(ROOT.glob(f"{place}*.py"))
    ]

    assert gone == []
