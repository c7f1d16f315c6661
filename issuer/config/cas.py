"""The settings of one CA: an entry of ISSUER_CAS."""

import re
from typing import Annotated, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from issuer.config.values import Base64Url, DirectoryUrl, Names

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """A number of requests in a number of seconds."""

    number: int
    seconds: float


def _rate(value: object) -> object:
    """The rate in a text such as `300/3h`; None (no limit) for an empty text."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})/(\d{0,5})([smhd])", value, re.ASCII)
    if not match or match[2] == "0":
        raise ValueError(f"{value[:80]!a} is not a rate such as 300/3h")
    number, units, unit = match.groups()
    return Rate(int(number), int(units or 1) * SECONDS[unit])


OneRate = Annotated[Rate | None, BeforeValidator(_rate)]


class CaLimits(BaseModel):
    """The rate limits of a CA. A rate is a number and a time, such as `300/3h`, in s, m, h or d."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    new_orders: OneRate = Field(default=None, description="New orders of our account, such as `300/3h`.")
    per_registered_domain: OneRate = Field(default=None, description="Certificates below one registered domain.")
    per_name: OneRate = Field(default=None, description="Certificates for one name.")
    failed_authorizations: OneRate = Field(default=None, description="Failed authorizations of one name.")
    requests_per_second: float = Field(default=0, ge=0, le=10_000, description="Requests in a second. 0: no limit.")


KNOWN_LIMITS: dict[str, dict[str, Any]] = {
    "acme-v02.api.letsencrypt.org": {
        "new_orders": "300/3h",
        "per_registered_domain": "50/7d",
        "per_name": "5/7d",
        "failed_authorizations": "5/h",
        "requests_per_second": 200,
    },
    "acme-staging-v02.api.letsencrypt.org": {
        "new_orders": "1500/3h",
        "per_registered_domain": "30000/7d",
        "per_name": "30000/7d",
        "failed_authorizations": "200/h",
        "requests_per_second": 200,
    },
}
"""The published limits of CAs, by the host of the directory URL. The limit on requests is a little lower than the
published one, which CAs count by IP address."""


class CaSettings(BaseModel):
    """One CA: a member of the list in ISSUER_CAS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: DirectoryUrl = Field(description="Required. The directory URL of the CA.")
    eab_key_id: str = Field(
        default="", description="The key identifier of External Account Binding (RFC 8555 §7.3.4), if the CA needs it."
    )
    eab_hmac_key: Base64Url = Field(
        default=SecretStr(""), description="The HMAC key of External Account Binding, base64url. A secret."
    )
    profile: str = Field(
        default="",
        description="A preferred profile, such as `classic`, `tlsserver` or `shortlived`. Not set, or not offered: the "
        "CA's usual profile.",
    )
    required_profile: str = Field(
        default="",
        description="A profile without which nothing is ordered: if the CA does not offer or accept it, the next CA is "
        "asked. It comes before `profile`.",
    )
    preferred_chain: str = Field(
        default="",
        description="The common name of the issuer that the chain should lead to. Not set, or not offered: the CA's "
        "usual chain.",
    )
    hosts: Names = Field(
        default=(),
        description="Additional hosts that the CA's URLs may have, as a list. URLs with any other host than the "
        "directory's are refused.",
    )
    weight: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="The CA's share of the domains, among all CAs with a weight. 0: the order of the list decides.",
    )
    limits: CaLimits = Field(
        default=CaLimits(),
        description="The CA's rate limits, as an object. Not set: the published limits of Let's Encrypt and its "
        "staging environment; no limits for other CAs.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.eab_key_id) != bool(self.eab_hmac_key.get_secret_value()):
            raise ValueError("eab_key_id and eab_hmac_key go together")
        return self

    @property
    def allowed(self) -> CaLimits:
        """Its rate limits: as set, else as published."""
        known = KNOWN_LIMITS.get(urlsplit(self.directory).hostname or "", {})
        return CaLimits.model_validate(known | self.limits.model_dump(exclude_unset=True))


def one_of_each(values: tuple[CaSettings, ...]) -> tuple[CaSettings, ...]:
    """The same CAs. Raises ValueError if two have the same directory URL."""
    if len({ca.directory for ca in values}) < len(values):
        raise ValueError("a directory is named twice")
    return values
