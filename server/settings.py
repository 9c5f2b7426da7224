"""Everything the environment can set, read once into a frozen value. docs/reference/settings.md."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from server.accounts.logins import EmailUnreadable, canonical_email
from server.delivery.ports import SmtpServer
from server.kek.places import KekAt, TransitAt
from server.kit.countries import COUNTRIES
from server.kit.outgoing import Destination, is_loopback, is_safe_url
from server.roads.model import RouterAt, RouterKind

Network: TypeAlias = IPv4Network | IPv6Network

PORT_MAX: Final = 65_535
CONNECTIONS_PER_ADDRESS_MAX: Final = 256
CONNECTIONS_MAX: Final = 1_000_000
WORKERS_MAX: Final = 64
EMBEDDED_COUNTRY: Final = "KZ"
"""Where the embedded PostgreSQL stands, if nobody says otherwise."""
TRANSIT_KEY: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)+[A-Za-z0-9_-][A-Za-z0-9_.-]*")
SMTP_PORTS: Final = {"smtp": 587, "smtps": 465}
STATIC: Final = Path(__file__).parents[1] / "dashboard" / "dist"


class SettingsInvalid(Exception):
    """A setting cannot be used. ``str`` is one sentence for a person, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server is started with. DSNs may hold passwords, so they are never printed."""

    home: Path
    """Where the embedded PostgreSQL, the KEK and the demo keep their files."""
    database_url: str | None = field(default=None, repr=False)
    """``main``; None starts the embedded PostgreSQL."""
    keys_database_url: str | None = field(default=None, repr=False)
    storage_country: str = EMBEDDED_COUNTRY
    """Where both databases stand (ISO 3166-1): what every consent says of the storage."""
    kek_file: Path
    kek_copy: Path | None = None
    """Where a copy of the KEK's file is kept, on another disk."""
    kek_transit: TransitAt | None = None
    """Where the KEK is kept instead; the file is then where it was before."""
    rekey_every: timedelta = timedelta(hours=1)
    """The least time between two exchanges of keys after erasures."""
    host: str = "127.0.0.1"
    port: int = 8080
    ops_host: str = "127.0.0.1"
    ops_port: int = 8081
    workers: int = 1
    """Processes that answer requests on the port; 1 is a single process that also runs the jobs."""
    public_origin: str | None = None
    """Scheme and host that browsers see when a proxy stands in front."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose word on the client's address is taken."""
    static: Path = STATIC
    connections_per_address_max: int = CONNECTIONS_PER_ADDRESS_MAX
    allow_unsafe_postgres: bool = False
    """Only for tests: start although the server may forget what it acknowledged."""
    smtp: SmtpServer | None = None
    """Where e-mails are handed over; None sends none."""
    sms: Destination | None = None
    push: Destination | None = None
    roads: RouterAt | None = None
    """What is asked for the roads of a plan; None asks nobody."""

    @property
    def kek(self) -> KekAt:
        return KekAt(file=self.kek_file, copy=self.kek_copy, transit=self.kek_transit)


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings.

    Raises
    ------
    SettingsInvalid
    """
    home = Path(environment.get("JOLDA_HOME") or "var").absolute()
    database_url = _dsn(environment, "DATABASE_URL", "DATABASE_PASSWORD_FILE")
    keys_database_url = _dsn(environment, "KEYS_DATABASE_URL", "KEYS_DATABASE_PASSWORD_FILE")
    if (database_url is None) != (keys_database_url is None):
        raise SettingsInvalid("Set both DATABASE_URL and KEYS_DATABASE_URL, or neither.")
    trusted_proxies = _networks(environment.get("JOLDA_TRUSTED_PROXIES"))
    return Settings(
        home=home,
        database_url=database_url,
        keys_database_url=keys_database_url,
        storage_country=_country(environment, is_embedded=database_url is None),
        kek_file=Path(environment.get("JOLDA_KEK_FILE") or home / "keys" / "kek").absolute(),
        kek_copy=_place(environment, "JOLDA_KEK_COPY_FILE"),
        kek_transit=_transit(environment),
        rekey_every=timedelta(
            minutes=_whole(environment, "JOLDA_REKEY_MINUTES", 60, least=1, most=1440)
        ),
        host=environment.get("JOLDA_HOST") or "127.0.0.1",
        port=_whole(environment, "JOLDA_PORT", 8080, most=PORT_MAX),
        ops_host=environment.get("JOLDA_OPS_HOST") or "127.0.0.1",
        ops_port=_whole(environment, "JOLDA_OPS_PORT", 8081, most=PORT_MAX),
        workers=_whole(environment, "JOLDA_WORKERS", 1, least=1, most=WORKERS_MAX),
        public_origin=_origin(environment.get("JOLDA_PUBLIC_ORIGIN")),
        trusted_proxies=trusted_proxies,
        static=Path(environment.get("JOLDA_STATIC") or STATIC).absolute(),
        connections_per_address_max=_whole(
            environment,
            "JOLDA_CONNECTIONS_PER_ADDRESS_MAX",
            # All connections are the proxies' own: what bounds them is the proxy, and the total.
            CONNECTIONS_MAX if trusted_proxies else CONNECTIONS_PER_ADDRESS_MAX,
            least=1,
            most=CONNECTIONS_MAX,
        ),
        allow_unsafe_postgres=environment.get("JOLDA_ALLOW_UNSAFE_POSTGRES") == "for-tests-only",
        smtp=_smtp(environment),
        sms=_destination(environment, "JOLDA_SMS_URL", "JOLDA_SMS_TOKEN_FILE"),
        push=_destination(environment, "JOLDA_PUSH_URL", "JOLDA_PUSH_TOKEN_FILE"),
        roads=_roads(environment),
    )


def _country(environment: Mapping[str, str], *, is_embedded: bool) -> str:
    """Return where the data is stored: nobody but who runs the databases can know it."""
    code = environment.get("JOLDA_STORAGE_COUNTRY")
    if not code:
        if is_embedded:
            return EMBEDDED_COUNTRY
        raise SettingsInvalid(
            "Set JOLDA_STORAGE_COUNTRY to the country in which the databases of DATABASE_URL and "
            "KEYS_DATABASE_URL stand, such as KZ: every consent names it."
        )
    if code not in COUNTRIES:
        raise SettingsInvalid(
            "JOLDA_STORAGE_COUNTRY must be the two capital letters of a country, such as KZ."
        )
    return code


def _dsn(environment: Mapping[str, str], name: str, password_file: str) -> str | None:
    dsn = environment.get(name)
    if not dsn:
        return None
    parts = urlsplit(dsn)
    if parts.scheme not in ("postgres", "postgresql"):
        raise SettingsInvalid(f"{name} must begin with postgresql://")
    password = _secret(environment, password_file)
    if password is None:
        return dsn
    user = parts.username or "postgres"
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=netloc))


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    """Return what the file that a setting names holds: a secret never stands in the environment."""
    path = environment.get(name)
    if not path:
        return None
    try:
        secret = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsInvalid(f"{name} cannot be read: {why}.") from None
    return secret


def _transit(environment: Mapping[str, str]) -> TransitAt | None:
    url = environment.get("JOLDA_KEK_TRANSIT_URL")
    token_file = _place(environment, "JOLDA_KEK_TRANSIT_TOKEN_FILE")
    if not url and token_file is None:
        return None
    if not url or token_file is None:
        raise SettingsInvalid(
            "Set both JOLDA_KEK_TRANSIT_URL and JOLDA_KEK_TRANSIT_TOKEN_FILE, or neither."
        )
    parts, _ = _split(url)
    if parts is None or not is_safe_url(url) or parts.query or parts.path not in ("", "/"):
        raise SettingsInvalid(
            "JOLDA_KEK_TRANSIT_URL must look like https://openbao.example:8200, or begin with "
            "http:// on this machine."
        )
    key = environment.get("JOLDA_KEK_TRANSIT_KEY") or "transit/jolda"
    if not TRANSIT_KEY.fullmatch(key):
        raise SettingsInvalid(
            "JOLDA_KEK_TRANSIT_KEY must be the engine's path and the key's name, such as "
            "transit/jolda"
        )
    mount, _, name = key.rpartition("/")
    ca_file = _place(environment, "JOLDA_KEK_TRANSIT_CA_FILE")
    if ca_file is not None and not ca_file.is_file():
        raise SettingsInvalid("JOLDA_KEK_TRANSIT_CA_FILE names no file.")
    return TransitAt(
        url=url.rstrip("/"), mount=mount, key=name, token_file=token_file, ca_file=ca_file
    )


def _place(environment: Mapping[str, str], name: str) -> Path | None:
    path = environment.get(name)
    return Path(path).absolute() if path else None


def _smtp(environment: Mapping[str, str]) -> SmtpServer | None:
    url, sender = environment.get("JOLDA_SMTP_URL"), environment.get("JOLDA_SMTP_FROM")
    if not url and not sender:
        return None
    if not url or not sender:
        raise SettingsInvalid("Set both JOLDA_SMTP_URL and JOLDA_SMTP_FROM, or neither.")
    parts, port = _split(url)
    host = None if parts is None else parts.hostname
    if parts is None or not host or parts.scheme not in SMTP_PORTS or parts.path not in ("", "/"):
        raise SettingsInvalid("JOLDA_SMTP_URL must look like smtp://user@mail.example:587")
    password = _secret(environment, "JOLDA_SMTP_PASSWORD_FILE")
    if parts.password is not None:
        raise SettingsInvalid("The password of JOLDA_SMTP_URL goes into JOLDA_SMTP_PASSWORD_FILE.")
    if (parts.username is None) != (password is None):
        raise SettingsInvalid(
            "JOLDA_SMTP_URL names a user exactly where JOLDA_SMTP_PASSWORD_FILE is set."
        )
    try:
        address = canonical_email(sender)
    except EmailUnreadable:
        raise SettingsInvalid("JOLDA_SMTP_FROM must be an e-mail address.") from None
    return SmtpServer(
        host=host,
        port=port or SMTP_PORTS[parts.scheme],
        sender=address,
        implicit_tls=parts.scheme == "smtps",
        plain=parts.scheme == "smtp" and is_loopback(host),
        user=None if parts.username is None else unquote(parts.username),
        password=password,
    )


def _destination(environment: Mapping[str, str], name: str, token_file: str) -> Destination | None:
    url = environment.get(name)
    if not url:
        return None
    if not is_safe_url(url):
        raise SettingsInvalid(
            f"{name} must begin with https://, or with http:// on this machine, and name no user."
        )
    token = _secret(environment, token_file)
    if token is not None and not (token.isascii() and token.isprintable() and token):
        raise SettingsInvalid(f"{token_file} must hold one line of plain letters.")
    return Destination(url=url, token=token)


def _roads(environment: Mapping[str, str]) -> RouterAt | None:
    kind, url = environment.get("JOLDA_ROADS"), environment.get("JOLDA_ROADS_URL")
    if not kind and not url:
        return None
    if not kind or not url:
        raise SettingsInvalid("Set both JOLDA_ROADS and JOLDA_ROADS_URL, or neither.")
    if kind not in set(RouterKind):
        raise SettingsInvalid(f"JOLDA_ROADS must be one of {', '.join(RouterKind)}.")
    parts, _ = _split(url)
    if parts is None or parts.query or not is_safe_url(url, own_network=True):
        raise SettingsInvalid(
            "JOLDA_ROADS_URL must begin with https://, or with http:// at a private address or on "
            "this machine, and name no user and no query."
        )
    return RouterAt(kind=RouterKind(kind), url=url)


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None, None
    return parts, port


def _whole(
    environment: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int
) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        raise SettingsInvalid(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def _networks(text: str | None) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise SettingsInvalid(
            "JOLDA_TRUSTED_PROXIES must be addresses or networks, such as 10.0.0.7,192.168.4.0/24"
        ) from None


def _origin(text: str | None) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
        raise SettingsInvalid("JOLDA_PUBLIC_ORIGIN must look like https://jolda.example")
    return f"{parts.scheme}://{parts.netloc}"
