"""Settings, read from the environment once."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pyapp.rails.callbacks import key_of

ROOT: Final = Path(__file__).resolve().parents[1]
ROLES: Final = (
    "payrail_api",
    "payrail_worker",
    "payrail_operator",
    "payrail_auditor",
    "payrail_migrator",
)
_SANDBOX_KEY: Final = "sandbox-bank-key"  # for play: it is public
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class InvalidSettingError(Exception):
    """An environment variable that can't be used; the text names it and says what it must be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set, and where the database is.

    `database_url` is None when the embedded PostgreSQL is used. Either way `server_url` is where
    an administrator connects.
    """

    database_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    home: Path = ROOT / ".payrail"
    pg_bin: Path | None = None
    pg_user: str = "nobody"
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    reset_data: bool = False
    sandbox_bank_url: str | None = None
    sandbox_bank_key: str = field(default=_SANDBOX_KEY, repr=False)
    sandbox_bank_secret: str | None = field(default=None, repr=False)
    sandbox_bank_file: Path = ROOT / ".payrail" / "sandbox-bank.sqlite"
    sandbox_bank_port: int = 8002
    sandbox_callback_url: str | None = None
    sandbox_seed: int = 1
    sandbox_deduplicates: bool = True
    bank_profiles: Path | None = None
    webhook_loopback: bool = False
    log_level: str = "INFO"
    console: bool = False

    def conninfo(self, role: str, options: str = "") -> str:
        """Return the libpq connection string of the database as `role`, with these options added.

        "admin" is whom DATABASE_URL names. A DATABASE_URL that names one of PayRail's own roles is
        used as it is for every role: that service has no other.
        """
        from pyapp import embedded  # noqa: PLC0415  # it needs Settings

        server = embedded.conninfo(self) if self.database_url is None else self.database_url
        parts = conninfo_to_dict(server)
        if options:
            server = make_conninfo(
                server, options=f"{parts.get('options') or ''} {options}".strip()
            )
        if role == "admin" or str(parts.get("user", "")).startswith("payrail_"):
            return make_conninfo(server)
        return make_conninfo(server, user=role, password=self.password(role))

    def password(self, role: str) -> str | None:
        """Return the role's password: the one that is set, or one derived from DATABASE_URL's.

        So whoever may migrate can start the services with nothing but DATABASE_URL.
        """
        if role in self.passwords:
            return self.passwords[role]
        key = conninfo_to_dict(self.database_url or "").get("password")
        if not key:
            return None
        return hmac.new(str(key).encode(), role.encode(), hashlib.sha256).hexdigest()


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; InvalidSettingError names the variable that can't be used."""
    home = Path(environ.get("PAYRAIL_HOME") or ROOT / ".payrail").resolve()
    return Settings(
        database_url=_database_url(environ),
        host=environ.get("HOST", "127.0.0.1"),
        port=_integer(environ, "PORT", 8000, 0, 65535),
        home=home,
        pg_bin=Path(environ["PAYRAIL_PG_BIN"]) if environ.get("PAYRAIL_PG_BIN") else None,
        pg_user=environ.get("PAYRAIL_PG_USER", "nobody"),
        passwords={
            role: environ[variable]
            for role in ROLES
            if environ.get(variable := f"{role.upper()}_PASSWORD")
        },
        reset_data=environ.get("RESET_DATA", "") not in {"", "0"},
        sandbox_bank_url=_url(environ, "SANDBOX_BANK_URL", path=False),
        sandbox_bank_key=_key(environ),
        sandbox_bank_secret=_secret(environ),
        sandbox_bank_file=Path(
            environ.get("SANDBOX_BANK_FILE") or home / "sandbox-bank.sqlite"
        ).resolve(),
        sandbox_bank_port=_integer(environ, "SANDBOX_BANK_PORT", 8002, 0, 65535),
        sandbox_callback_url=_url(environ, "SANDBOX_CALLBACK_URL", path=True),
        sandbox_seed=_integer(environ, "SANDBOX_SEED", 1, 0, 2**63 - 1),
        sandbox_deduplicates=_integer(environ, "SANDBOX_DEDUPLICATES", 1, 0, 1) == 1,
        bank_profiles=_folder(environ, "BANK_PROFILES"),
        webhook_loopback=environ.get("WEBHOOK_LOOPBACK", "") not in {"", "0"},
        log_level=_log_level(environ),
        console=environ.get("CONSOLE", "") not in {"", "0"},
    )


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("DATABASE_URL") or None
    try:
        conninfo_to_dict(url or "")
    except (ProgrammingError, UnicodeError):  # libpq's own words would show the password
        message = "DATABASE_URL must be like postgresql://user:password@host/database"
        raise InvalidSettingError(message) from None
    return url


def _url(environ: Mapping[str, str], name: str, *, path: bool) -> str | None:
    """Return a URL without a user, query or fragment; it is not quoted, it may have a password."""
    text = environ.get(name) or None
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        sound = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and "@" not in parts.netloc
            and (path or parts.path in {"", "/"})
            and not (parts.query or parts.fragment)
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        sound = False
    if not sound:
        message = f"{name} must be like http://127.0.0.1:8002{'/path' if path else ''}"
        raise InvalidSettingError(message)
    return text.rstrip("/") if not path else text


def _key(environ: Mapping[str, str]) -> str:
    key = environ.get("SANDBOX_BANK_KEY") or _SANDBOX_KEY
    if not (key.isascii() and key.isprintable() and " " not in key):
        message = "SANDBOX_BANK_KEY must be printable ASCII without spaces"
        raise InvalidSettingError(message)
    return key


def _secret(environ: Mapping[str, str]) -> str | None:
    """Return the secret: whoever has it can sign the bank's callbacks, so there is no default."""
    secret = environ.get("SANDBOX_BANK_SECRET") or None
    if secret is None:
        return None
    try:
        key_of(secret)
    except ValueError as exc:
        message = f"SANDBOX_BANK_SECRET {exc}"
        raise InvalidSettingError(message) from None
    return secret


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name) or None
    if text is not None and not Path(text).is_dir():
        message = f"{name} must be a folder, and {text!r} is none"
        raise InvalidSettingError(message)
    return Path(text).resolve() if text is not None else None


def _log_level(environ: Mapping[str, str]) -> str:
    level = (environ.get("LOG_LEVEL") or "INFO").upper()
    if level not in _LOG_LEVELS:
        message = f"LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}, not {level!r}"
        raise InvalidSettingError(message)
    return level


def _integer(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        message = f"{name} must be a whole number, {low} to {high}, not {text!r}"
        raise InvalidSettingError(message)
    return int(text)
