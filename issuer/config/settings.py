"""What the product reads from variables `ISSUER_…`. docs/settings.md is made of this."""

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
    NEW_ENCRYPTION_KEY,
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
from issuer.keys import KeyType
from issuer.ports import HolderProof

PREFIX = "ISSUER_"


class Settings(BaseSettings):
    """What an operator may set. A new setting is one entry here: its type, its default, its bounds, and its meaning;
    `make settings` then writes docs/settings.md. What the core reads is also named in `ports.Policy`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="The Redis that keeps the records: a `redis://` or `rediss://` URL.",
    )
    broker_url: RedisUrlOrNothing = Field(
        default=SecretStr(""),
        description="The Redis that carries Celery's messages. Not set: database 1 of the server of the records.",
    )
    encryption_keys: FernetKeys = Field(
        default=(),
        description="Required. Fernet keys for stored private keys, comma separated: the first one encrypts, each of "
        f"them decrypts. `{NEW_ENCRYPTION_KEY}` makes one.",
    )
    acme_directory: WebUrl = Field(
        default="https://acme-staging-v02.api.letsencrypt.org/directory",
        description="The directory URL of the CA, where there is only one. `ISSUER_CAS` takes its place.",
    )
    acme_ca_bundle: FileOrNothing = Field(
        default="",
        description="A PEM file of root certificates to trust for the CA's own TLS, for a private or test CA. "
        "Not set: the system's roots.",
    )
    cas: Annotated[tuple[CaSettings, ...], NoDecode, JSON_LIST, AfterValidator(one_of_each)] = Field(
        default=(),
        description="Several CAs in order of preference, as a JSON list of objects, each with the `directory` of a "
        "CA and what else is to be set for it. Not set: the CA of `ISSUER_ACME_DIRECTORY`.",
    )
    acme_contact: str = Field(
        default="", description="An e-mail address that CAs may write to. Not set: they are given none."
    )
    acme_terms_agreed: bool = Field(
        default=False,
        description="Agree to the terms of service of every CA in use. Without it, no new account is created at a CA "
        "that has terms. An account that exists stays in use.",
    )
    acme_timeout_seconds: float = Field(
        default=10, gt=0, le=60, description="How long a CA may take to connect, and to give its whole answer."
    )
    cname_targets: Targets = Field(
        default=(),
        description="Required. The host names that customers' CNAMEs may end at, comma separated.",
    )
    own_names: Names = Field(
        default=(),
        description="More names of the platform's own, comma separated: they and all names below them are refused.",
    )
    allow_reserved_names: bool = Field(
        default=False,
        description="Accept names below `.test`, `.example`, `.local` and the like, for a private or test CA.",
    )
    dns_servers: DnsServers = Field(
        default=(),
        description="DNS servers to ask, each `address` or `address:port`, comma separated. Not set: the system's.",
    )
    dns_timeout_seconds: float = Field(
        default=3, gt=0, le=4, description="How long all DNS questions about one name may take together."
    )
    self_check_seconds: float = Field(
        default=3,
        gt=0,
        le=10,
        description="How long our own check of a challenge may take, before the CA is told to validate it.",
    )
    self_check_test_port: int = Field(
        default=0,
        ge=0,
        lt=2**16,
        description="For tests and demos: our own check of a challenge goes to this port, and to private addresses "
        "too. 0: to port 80 of public addresses.",
    )
    key_type: KeyType = Field(default=KeyType.EC_P256, description="The type of the certificates' private keys.")
    step_seconds: int = Field(
        default=60,
        ge=2,
        le=600,
        description="How long one step of an issuance may run. Its lease holds a little longer.",
    )
    renewals_per_second: float = Field(
        default=20, gt=0, le=1000, description="How many renewals are started in a second, averaged over a minute."
    )
    renewals_at_once: int = Field(
        default=500, ge=1, le=100_000, description="How many renewals may be under way at the same time."
    )
    new_names_per_registered_domain: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        description="How many new names below one registered domain an account may add in a week. 0: no limit.",
    )
    hold_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="How many days a withdrawn name is kept from other accounts. 0: it is free at once.",
    )
    holder_proof: HolderProof = Field(
        default=HolderProof.NONE,
        description="How a name proves whose it is. `cname`: by a CNAME to the account's token below a target. "
        "`txt`: by the token in a TXT record at `_issuer.` and the name.",
    )
    hsts_max_age_seconds: int = Field(
        default=5_184_000,
        ge=0,
        le=63_072_000,
        description="The `max-age` of the HSTS policy of domains without a policy of their own. 0: no HSTS for them.",
    )
    edge_token: EdgeToken = Field(
        default=SecretStr(""),
        description="What TLS terminators show at `/edge/…`: 24 to 200 characters of `A-Z a-z 0-9 - _`. "
        "Not set: `/edge/…` is off.",
    )
    edge_addresses: EdgeAddresses = Field(
        default=(),
        description="TLS terminators, each `host:port`, comma separated. After each issuance, a TLS handshake with "
        "each of them confirms what it serves. Not set: none is asked.",
    )
    reconcile_seconds: float = Field(
        default=10, ge=0.1, le=60, description="How often `beat` looks for work that is due or whose message was lost."
    )
    log_format: Literal["", "console", "json"] = Field(
        default="", description="The form of log lines. Not set: `console` on a terminal, else `json`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least severe log lines that are written."
    )

    @property
    def authorities(self) -> tuple[CaSettings, ...]:
        """The CAs in order of preference: `cas`, else the one of `acme_directory`."""
        return self.cas or (CaSettings(directory=self.acme_directory),)

    @property
    def hold_seconds(self) -> int:
        """How long a withdrawn name is kept from other accounts."""
        return self.hold_days * 86400

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
    unset = {name: value for name, value in defaults.items() if f"{PREFIX}{name.upper()}" not in os.environ}
    try:
        return Settings(**unset)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SystemExit("\n".join(refusals(error, PREFIX))) from None


def refusals(error: ValidationError, prefix: str) -> list[str]:
    """A line for each wrong value, which names its variable: `ISSUER_CAS[0].directory: …`."""
    return [_refusal(details["loc"], details["msg"], prefix) for details in error.errors()]


def child_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with other values, for a child process."""
    return {**os.environ, **values}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple) and any(isinstance(member, BaseModel) for member in value):
        members = [member.model_dump(exclude_unset=True) for member in value]
        return json.dumps(members, default=lambda secret: secret.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(_text(member) for member in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refusal(loc: tuple[int | str, ...], message: str, prefix: str) -> str:
    message = message.removeprefix("Value error, ")
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    return f"{prefix}{str(loc[0]).upper()}{inside}: {message}" if loc else message
