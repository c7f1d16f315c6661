"""Settings: the only reader of the environment. Every variable is `ISSUER_…`; the README lists them."""

import json
import os
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from issuer.config.cas import CaSettings, one_of_each
from issuer.config.values import (
    JSON_LIST,
    DnsServers,
    EdgeAddresses,
    EdgeToken,
    FernetKeys,
    FileOrNothing,
    Names,
    RedisUrl,
    RedisUrlOrNothing,
    Targets,
    WebUrl,
)

PREFIX = "ISSUER_"


class Settings(BaseSettings):
    """What an operator may set, with defaults. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
    broker_url: RedisUrlOrNothing = SecretStr("")
    encryption_keys: FernetKeys = ()
    acme_directory: WebUrl = "https://acme-staging-v02.api.letsencrypt.org/directory"
    acme_ca_bundle: FileOrNothing = ""
    cas: Annotated[tuple[CaSettings, ...], NoDecode, JSON_LIST, AfterValidator(one_of_each)] = ()
    acme_contact: str = ""
    acme_timeout_seconds: float = Field(default=10, gt=0, le=60)
    cname_targets: Targets = ()
    own_names: Names = ()
    allow_reserved_names: bool = False
    dns_servers: DnsServers = ()
    dns_timeout_seconds: float = Field(default=3, gt=0, le=4)
    self_check_seconds: float = Field(default=3, gt=0, le=10)
    self_check_test_port: int = Field(default=0, ge=0, lt=2**16)
    key_type: Literal["ec-p256", "ec-p384", "rsa-2048"] = "ec-p256"
    step_seconds: int = Field(default=60, ge=2, le=600)
    renewals_per_second: float = Field(default=20, gt=0, le=1000)
    renewals_at_once: int = Field(default=500, ge=1, le=100_000)
    new_names_per_registered_domain: int = Field(default=50, ge=0, le=1_000_000)
    hold_days: int = Field(default=30, ge=0, le=3650)
    holder_proof: Literal["", "cname", "txt"] = ""
    hsts_max_age_seconds: int = Field(default=5_184_000, ge=0, le=63_072_000)
    edge_token: EdgeToken = SecretStr("")
    edge_addresses: EdgeAddresses = ()
    reconcile_seconds: float = Field(default=10, ge=0.1, le=60)
    log_format: Literal["", "console", "json"] = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def authorities(self) -> tuple[CaSettings, ...]:
        """The CAs in order of preference: `cas`, else the one of `acme_directory`."""
        return self.cas or (CaSettings(directory=self.acme_directory),)

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
    if isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value):
        shown = [one.model_dump(exclude_unset=True) for one in value]
        return json.dumps(shown, default=lambda secret: secret.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(loc: tuple[int | str, ...], message: str) -> str:
    """A wrong value in one line: ISSUER_CAS[0].directory: …"""
    message = message.removeprefix("Value error, ")
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    return f"{PREFIX}{str(loc[0]).upper()}{inside}: {message}" if loc else message
