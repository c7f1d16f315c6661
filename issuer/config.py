"""Settings: the only reader of the environment. Every variable is `ISSUER_…`; the README lists them."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "ISSUER_"
HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NEW_ENCRYPTION_KEY = "issuer new-encryption-key"
"""The command that makes a value for ISSUER_ENCRYPTION_KEYS."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (raw.strip() for raw in value.split(",")) if part)


def _folded(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower().removesuffix(".") for value in values)


def parse_dns_server(text: str) -> tuple[str, int]:
    """`address`, `address:port` or `[address]:port` as (address, port). ValueError for anything else."""
    found = re.fullmatch(r"\[([^]]+)](?::(\d{1,5}))?|([^:]+):(\d{1,5})|(.*)", text, re.ASCII)
    address, port = ((found[1] or found[3] or found[5]), (found[2] or found[4] or "53")) if found else ("", "")
    try:
        ipaddress.ip_address(address)
        if not 0 < int(port) < 2**16:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address with or without :port") from None
    return address, int(port)


def _host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not HOST_NAME.fullmatch(value):
            raise ValueError(f"{value[:80]!a} is not a host name (an internationalized one is written xn--…)")
    return values


def _targets(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("not set; name the hosts that customers' CNAMEs may end at")
    return values


def _dns_servers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parse_dns_server(value)
    return values


def _fernet_keys(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not values:
        raise ValueError(f"not set; make one with: {NEW_ENCRYPTION_KEY}")
    for value in values:
        try:
            Fernet(value.get_secret_value())
        except ValueError:
            raise ValueError(f"not 32 bytes in URL-safe base64; make one with: {NEW_ENCRYPTION_KEY}") from None
    return values


def _redis_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        is_one = parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("not a redis:// or rediss:// URL with a host") from None
    return value


def _redis_url_or_nothing(value: SecretStr) -> SecretStr:
    return _redis_url(value) if value.get_secret_value() else value


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("not an https:// URL")
    return value


def _file_or_nothing(value: str) -> str:
    if value and not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    return value


Names = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_folded), AfterValidator(_host_names)
]
DnsServers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_dns_servers)]
FernetKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_fernet_keys)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]


class Settings(BaseSettings):
    """What an operator may set, with defaults. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
    broker_url: Annotated[SecretStr, AfterValidator(_redis_url_or_nothing)] = SecretStr("")
    encryption_keys: FernetKeys = ()
    acme_directory: Annotated[str, AfterValidator(_web_url)] = "https://acme-staging-v02.api.letsencrypt.org/directory"
    acme_ca_bundle: Annotated[str, AfterValidator(_file_or_nothing)] = ""
    acme_contact: str = ""
    acme_timeout_seconds: float = Field(default=10, gt=0, le=60)
    cname_targets: Annotated[Names, AfterValidator(_targets)] = ()
    own_names: Names = ()
    allow_reserved_names: bool = False
    dns_servers: DnsServers = ()
    dns_timeout_seconds: float = Field(default=3, gt=0, le=4)
    key_type: Literal["ec-p256", "ec-p384", "rsa-2048"] = "ec-p256"
    step_seconds: int = Field(default=60, ge=2, le=600)
    renewals_per_second: float = Field(default=20, gt=0, le=1000)
    renewals_at_once: int = Field(default=500, ge=1, le=100_000)
    new_names_per_registered_domain: int = Field(default=50, ge=0, le=1_000_000)
    reconcile_seconds: float = Field(default=10, ge=0.1, le=60)
    log_format: Literal["", "console", "json"] = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def soft_limit_seconds(self) -> int:
        """When a step is told to stop."""
        return self.step_seconds

    @property
    def hard_limit_seconds(self) -> int:
        """When a step's process is killed."""
        return self.soft_limit_seconds + self._margin_seconds

    @property
    def lease_seconds(self) -> int:
        """How long a lease holds: past the hard limit, so that no two workers are ever in one step."""
        return self.hard_limit_seconds + self._margin_seconds

    @property
    def _margin_seconds(self) -> int:
        return max(self.step_seconds // 10, 1)

    @property
    def celery_broker_url(self) -> str:
        """Where Celery's messages go: `broker_url`, else database 1 of the records' server."""
        if url := self.broker_url.get_secret_value():
            return url
        parts = urlsplit(self.redis_url.get_secret_value())
        options = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
        return urlunsplit(parts._replace(path="/1", query=urlencode(options)))

    def as_environment(self) -> dict[str, str]:
        """What has been set, as variables for a child process."""
        return {f"{PREFIX}{name.upper()}": _text(getattr(self, name)) for name in sorted(self.model_fields_set)}


def load_settings(**defaults: object) -> Settings:
    """The settings of this process; the environment wins over `defaults`. A wrong value ends the process, with one
    line that names each."""
    given = {name: value for name, value in defaults.items() if f"{PREFIX}{name.upper()}" not in os.environ}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SystemExit("\n".join(_line(one["loc"], one["msg"]) for one in error.errors())) from None


def child_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with other values, for a child process."""
    return {**os.environ, **values}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(loc: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(loc[0]).upper()}: {message}" if loc else message
