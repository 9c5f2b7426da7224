from pathlib import Path

import pytest

from server.delivery.ports import ports_of
from server.notice_kinds.kinds import Channel
from server.settings import SettingsInvalid, read

FROM = {"JOLDA_SMTP_FROM": "Notices@Jolda.example"}


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    return str(file)


def test_nothing_is_sent_where_nothing_is_set() -> None:
    settings = read({})

    assert ports_of(settings.smtp, settings.sms, settings.push) == {}


def test_each_way_out_is_set_by_itself(secret: str) -> None:
    settings = read(
        {
            **FROM,
            "JOLDA_SMTP_URL": "smtp://mail%40jolda@mail.example",
            "JOLDA_SMTP_PASSWORD_FILE": secret,
            "JOLDA_SMS_URL": "https://sms.example/v1/messages",
            "JOLDA_SMS_TOKEN_FILE": secret,
            "JOLDA_PUSH_URL": "http://127.0.0.1:9090/push",
        }
    )

    assert settings.smtp is not None
    assert settings.smtp.user == "mail@jolda"
    assert settings.smtp.password == "s3cret"  # noqa: S105 - of a test
    assert settings.smtp.sender == "notices@jolda.example"
    assert settings.sms is not None
    assert settings.sms.token == "s3cret"  # noqa: S105 - of a test
    ports = ports_of(settings.smtp, settings.sms, settings.push)
    assert set(ports) == {Channel.EMAIL, Channel.SMS, Channel.PUSH}
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "port", "implicit_tls", "plain"),
    [
        ("smtp://mail.example", 587, False, False),
        ("smtp://mail.example:2525", 2525, False, False),
        ("smtps://mail.example", 465, True, False),
        ("smtp://127.0.0.1:25", 25, False, True),
        ("smtp://localhost:25", 25, False, True),
        ("smtp://[::1]:25", 25, False, True),
        ("smtps://127.0.0.1", 465, True, False),
        ("smtp://127.0.0.1.evil.example", 587, False, False),
    ],
)
def test_mail_leaves_this_machine_only_encrypted(
    url: str, port: int, *, implicit_tls: bool, plain: bool
) -> None:
    smtp = read({**FROM, "JOLDA_SMTP_URL": url}).smtp

    assert smtp is not None
    assert (smtp.port, smtp.implicit_tls, smtp.plain) == (port, implicit_tls, plain)


@pytest.mark.parametrize(
    "changes",
    [
        {"JOLDA_SMTP_URL": ""},
        {"JOLDA_SMTP_URL": "http://mail.example"},
        {"JOLDA_SMTP_URL": "smtp://"},
        {"JOLDA_SMTP_URL": "smtp://mail.example:port"},
        {"JOLDA_SMTP_URL": "smtp://mail.example/path"},
        {"JOLDA_SMTP_URL": "smtp://user:canary@mail.example"},
        {"JOLDA_SMTP_URL": "smtp://user@mail.example"},
        {"JOLDA_SMTP_FROM": ""},
        {"JOLDA_SMTP_FROM": "no address"},
        {"JOLDA_SMTP_FROM": "a@b.example\r\nBcc: canary@b.example"},
        {"JOLDA_SMS_URL": "http://sms.example/"},
        {"JOLDA_SMS_URL": "https://user:canary@sms.example/"},
        {"JOLDA_SMS_URL": "ftp://sms.example/"},
        {"JOLDA_PUSH_URL": "https://push.example:port/"},
        {"JOLDA_SMS_URL": "https://sms.example/", "JOLDA_SMS_TOKEN_FILE": "/nowhere"},
    ],
)
def test_a_way_out_that_cannot_be_used_ends_the_start(changes: dict[str, str]) -> None:
    environment = {**FROM, "JOLDA_SMTP_URL": "smtp://mail.example", **changes}

    with pytest.raises(SettingsInvalid) as refused:
        read(environment)

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "two\nlines", "ключ"])
def test_a_token_is_one_line_of_plain_letters(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token, "utf-8")

    with pytest.raises(SettingsInvalid):
        read({"JOLDA_SMS_URL": "https://sms.example/", "JOLDA_SMS_TOKEN_FILE": str(file)})
