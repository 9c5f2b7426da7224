"""A file's name is a name, whatever it holds."""

import re
from email.message import Message
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.downloads import NAME_MAX, attachment

# RFC 6266 and RFC 8187, and nothing else.
HEADER = re.compile(
    r'attachment; filename="([A-Za-z0-9][A-Za-z0-9._-]*)"'
    r"(?:; filename\*=UTF-8''((?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*))?"
)


def test_a_plain_name_stays_as_it_is() -> None:
    assert attachment("track_1.csv") == 'attachment; filename="track_1.csv"'


@given(name=st.text(max_size=2 * NAME_MAX))
def test_no_name_ends_the_header_or_names_a_folder(name: str) -> None:
    header = attachment(name)

    told = HEADER.fullmatch(header)
    assert told is not None
    names = [told[1]] if told[2] is None else [told[1], unquote(told[2])]
    for one in names:
        assert PurePosixPath(one).name == one or one in ("", ".", "..")
        assert PureWindowsPath(told[1]).name == told[1]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ('a";x="b', "a_x_b"),
        ("a\r\nSet-Cookie: b", "a_Set-Cookie_b"),
        ("../../etc/passwd", "etc_passwd"),
        ("жолда.csv", "csv"),
        ("", "file"),
        ("..", "file"),
    ],
)
def test_what_is_not_plain_is_replaced(name: str, plain: str) -> None:
    message = Message()
    message["Content-Disposition"] = attachment(name).partition("; filename*")[0]

    assert message.get_filename() == plain


def test_other_alphabets_are_kept_beside_it() -> None:
    assert unquote(attachment("жолда.csv").partition("UTF-8''")[2]) == "жолда.csv"
