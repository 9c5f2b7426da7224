import stat
from dataclasses import replace
from pathlib import Path

from server.demo import company as companies
from server.demo.company import DemoCompany, DemoDriver

COMPANY = DemoCompany(
    dispatcher_login="dispatcher@demo.example",
    dispatcher_password="a",  # noqa: S106 - of nobody
    main_user_login="main@demo.example",
    main_user_password="b",  # noqa: S106 - of nobody
    api_token="c",  # noqa: S106 - of nobody
    drivers=(
        DemoDriver(
            driver_id="d",
            phone="+77010000101",
            password="e",  # noqa: S106 - of nobody
            device_token="f",  # noqa: S106 - of nobody
            vehicle_id="g",
        ),
    ),
    clock="2026-11-22T12:00:00+00:00",
)


def test_the_log_ins_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "company.json"

    companies.save(file, COMPANY)
    companies.save(file, replace(COMPANY, clock="2026-11-22T13:00:00+00:00"))

    assert companies.load(file) == replace(COMPANY, clock="2026-11-22T13:00:00+00:00")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["company.json"]


def test_without_a_file_there_is_no_company(tmp_path: Path) -> None:
    assert companies.load(tmp_path / "company.json") is None


def test_log_ins_never_show_in_a_representation() -> None:
    shown = repr(COMPANY)

    assert "'a'" not in shown
    assert "'b'" not in shown
    assert "'c'" not in shown
    assert "'e'" not in shown
    assert "'f'" not in shown


def test_no_two_passwords_are_the_same() -> None:
    assert len({companies.new_password() for _ in range(100)}) == 100
