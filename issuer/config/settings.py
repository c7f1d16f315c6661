"""The settings in the variables `ISSUER_…`. docs/settings.md is generated from these."""

import os
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from issuer.config.cas import CaSettings, one_of_each
from issuer.config.digests import digest, digests
from issuer.config.environment import PREFIX, unknown_variables
from issuer.config.texts import refusals, value_text
from issuer.config.values import (
    JSON_LIST,
    NEW_ENCRYPTION_KEY,
    CommandOrNothing,
    DirectoryUrl,
    DnsServers,
    EdgeAddresses,
    EdgeToken,
    FernetKeys,
    Names,
    PathOrNothing,
    RedisUrl,
    RedisUrlOrNothing,
    RootsOrNothing,
    SecretWebUrlOrNothing,
    Targets,
)
from issuer.keys import KeyType
from issuer.ports import HolderProof


class Settings(BaseSettings):
    """The settings of the product. A new setting is one entry here: type, default, bounds and description. Then
    `make settings` writes docs/settings.md. The core reads them as `services.settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="The Redis that keeps the records: a `redis://` or `rediss://` URL.",
    )
    broker_url: RedisUrlOrNothing = Field(
        default=SecretStr(""),
        description="The Redis that carries Celery's messages. Not set: database 1 of the server of the records.",
    )
    allow_volatile_redis: bool = Field(
        default=False,
        description="Start although Redis may evict keys, or keeps nothing on disk: for tests and demos.",
    )
    identity_file: PathOrNothing = Field(
        default="",
        description="A file, made at the first start, with the identity of the store, so that an empty or other Redis "
        "is noticed at a start. Not set: only running processes notice it.",
    )
    missing_days: float = Field(
        default=7,
        gt=0,
        le=3650,
        description="How many days edges go on serving a name whose record is missing although nobody withdrew it.",
    )
    encryption_keys: FernetKeys = Field(
        default=(),
        description="Required. Fernet keys for stored private keys, comma separated: the first one encrypts, each of "
        f"them decrypts. `{NEW_ENCRYPTION_KEY}` generates one.",
    )
    acme_directory: DirectoryUrl = Field(
        default="https://acme-staging-v02.api.letsencrypt.org/directory",
        description="The directory URL of the CA, if there is only one. `ISSUER_CAS` replaces it.",
    )
    acme_ca_bundle: RootsOrNothing = Field(
        default="",
        description="A PEM file of root certificates to trust for the CA's own TLS, for a private or test CA. "
        "Not set: the system's roots.",
    )
    cas: Annotated[tuple[CaSettings, ...], NoDecode, JSON_LIST, AfterValidator(one_of_each)] = Field(
        default=(),
        description="Several CAs in order of preference, as a JSON list of objects, each with the `directory` of a "
        "CA and its other settings. Not set: the CA of `ISSUER_ACME_DIRECTORY`.",
    )
    acme_contact: str = Field(default="", description="A contact e-mail address for CAs. Not set: none is sent.")
    acme_terms_agreed: bool = Field(
        default=False,
        description="Agree to the terms of service of every CA in use. Without it, no new account is created at a CA "
        "that has terms. An existing account remains in use.",
    )
    acme_timeout_seconds: float = Field(
        default=10,
        gt=0,
        le=60,
        description="How long a CA may take to accept a connection, and to send its whole response.",
    )
    cname_targets: Targets = Field(
        default=(),
        description="Required. The host names that customers' CNAME records may lead to, comma separated.",
    )
    own_names: Names = Field(
        default=(),
        description="Further names of the platform itself, comma separated. No certificates are issued for them and "
        "for names below them.",
    )
    allow_reserved_names: bool = Field(
        default=False,
        description="Accept names below `.test`, `.example`, `.local` and the like, for a private or test CA.",
    )
    dns_servers: DnsServers = Field(
        default=(),
        description="DNS servers to query, each `address` or `address:port`, comma separated. All should validate "
        "DNSSEC, as CAs do. Not set: the system's.",
    )
    dns_timeout_seconds: float = Field(
        default=3, gt=0, le=4, description="How long all DNS queries for one name may take together."
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
        description="For tests and demos: the port for our own check of a challenge, which then also connects to "
        "private addresses. 0: port 80, on public addresses only.",
    )
    accept_proxied_names: bool = Field(
        default=False,
        description="Accept new names behind a customer's proxy (CDN), if requests to them arrive here. Not set: names "
        "must have had a certificate before.",
    )
    key_type: KeyType = Field(default=KeyType.EC_P256, description="The type of the certificates' private keys.")
    step_seconds: int = Field(
        default=60,
        ge=2,
        le=600,
        description="How long one step of an issuance may run. Its lease lasts a little longer.",
    )
    renewals_per_second: float = Field(
        default=20, gt=0, le=1000, description="How many renewals are started per second, averaged over a minute."
    )
    renewals_at_once: int = Field(
        default=500, ge=1, le=100_000, description="How many renewals may be open at the same time."
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
        description="How many days a withdrawn name is reserved for its account. 0: it is free at once.",
    )
    holder_proof: HolderProof = Field(
        default=HolderProof.NONE,
        description="How a name proves its account. `cname`: by a CNAME to the account's token below a target. "
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
        description="The token that TLS terminators send to `/edge/…`: 24 to 200 characters of `A-Z a-z 0-9 - _`. "
        "Not set: `/edge/…` is off.",
    )
    edge_addresses: EdgeAddresses = Field(
        default=(),
        description="TLS terminators, each `host:port`, comma separated. After each issuance, a TLS handshake with "
        "each of them checks that it serves the certificate. Not set: no check.",
    )
    reconcile_seconds: float = Field(
        default=10, ge=0.1, le=60, description="How often `beat` looks for work that is due or whose message was lost."
    )
    alarm_command: CommandOrNothing = Field(
        default="",
        description="A command, run without a shell, that gets each alarm as one JSON object on its standard input. It "
        "may take 10 seconds. Not set: none.",
    )
    alarm_url: SecretWebUrlOrNothing = Field(
        default=SecretStr(""),
        description="A URL that gets each alarm as a POST with one JSON object. A secret, as it may contain a token. "
        "Not set: none.",
    )
    sentry_dsn: SecretWebUrlOrNothing = Field(
        default=SecretStr(""),
        description="The DSN of a Sentry project that gets our errors. Needs `pip install 'issuer[sentry]'`. "
        "Not set: none.",
    )
    otlp_url: SecretWebUrlOrNothing = Field(
        default=SecretStr(""),
        description="An OTLP receiver (HTTP) that gets a span of each request and step. Needs `pip install "
        "'issuer[opentelemetry]'`. Not set: none.",
    )
    log_format: Literal["", "console", "json"] = Field(
        default="", description="The form of log lines. Not set: `console` on a terminal, else `json`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The lowest severity of log lines that are written."
    )

    @property
    def authorities(self) -> tuple[CaSettings, ...]:
        """The CAs in order of preference: `cas`, else the one of `acme_directory`."""
        return self.cas or (CaSettings(directory=self.acme_directory),)

    @property
    def reporting(self) -> dict[str, str]:
        """Who is told of errors and spans, for `logs.start_reporting`."""
        return {"sentry_dsn": self.sentry_dsn.get_secret_value(), "otlp_url": self.otlp_url.get_secret_value()}

    @property
    def hold_seconds(self) -> int:
        """How long a withdrawn name is reserved for its account, in seconds."""
        return self.hold_days * 86400

    @property
    def soft_limit_seconds(self) -> int:
        """After how many seconds a step is asked to stop."""
        return self.step_seconds

    @property
    def hard_limit_seconds(self) -> int:
        """After how many seconds the process of a step is killed."""
        return self.soft_limit_seconds + self._margin_seconds

    @property
    def lease_seconds(self) -> int:
        """How long a lease lasts, in seconds: longer than the hard limit, so that two workers never run one step."""
        return self.hard_limit_seconds + self._margin_seconds

    @property
    def _margin_seconds(self) -> int:
        return max(self.step_seconds // 10, 1)

    @property
    def celery_broker_url(self) -> str:
        """The URL of Celery's broker: `broker_url`, else database 1 of the server of the records."""
        if url := self.broker_url.get_secret_value():
            return url
        parts = urlsplit(self.redis_url.get_secret_value())
        options = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
        return urlunsplit(parts._replace(path="/1", query=urlencode(options)))

    def unknown_variables(self) -> list[tuple[str, str]]:
        """The variables of this process that look like settings and are none, each with what to do about it."""
        return unknown_variables([f"{PREFIX}{name.upper()}" for name in type(self).model_fields])

    def digests(self) -> dict[str, str]:
        """Short digests of the settings, by variable, to compare processes with: see `digests`. Of the secrets it has
        the encryption keys alone, which are random; their order does not matter."""
        keys = sorted(key.get_secret_value() for key in self.encryption_keys)
        return digests(self, PREFIX) | {f"{PREFIX}ENCRYPTION_KEYS": digest(keys)}

    def as_environment(self) -> dict[str, str]:
        """The settings that have been set explicitly, as environment variables for a child process."""
        return {f"{PREFIX}{name.upper()}": value_text(getattr(self, name)) for name in sorted(self.model_fields_set)}


def load_settings(**defaults: object) -> Settings:
    """The settings from the environment of this process, which takes precedence over `defaults`. Raises SystemExit with
    one line for each wrong value."""
    unset = {name: value for name, value in defaults.items() if f"{PREFIX}{name.upper()}" not in os.environ}
    try:
        return Settings(**unset)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SystemExit("\n".join(refusals(error, PREFIX))) from None


def load_settings_to_imagine() -> Settings:
    """The settings for what needs neither a store nor a name of the platform: those that are required may be missing,
    and without a CA it is Let's Encrypt."""
    needed = {"encryption_keys": Fernet.generate_key().decode(), "cname_targets": "edge.example"}
    return load_settings(acme_directory="https://acme-v02.api.letsencrypt.org/directory", **needed)
