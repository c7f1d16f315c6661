"""The settings of one CA: an entry of ISSUER_CAS."""

import re
from typing import Annotated, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from issuer.config.values import Base64Url, Names, WebUrl

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """So many in so many seconds."""

    number: int
    seconds: float


def _rate(value: object) -> object:
    """A rate of a text such as `300/3h`; an empty one is no limit."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})/(\d{0,5})([smhd])", value, re.ASCII)
    if not found or found[2] == "0":
        raise ValueError(f"{value[:80]!a} is not a rate such as 300/3h")
    return Rate(int(found[1]), int(found[2] or 1) * SECONDS[found[3]])


OneRate = Annotated[Rate | None, BeforeValidator(_rate)]


class CaLimits(BaseModel):
    """What a CA allows: new orders of an account, certificates below one registered domain and for one name, failed
    authorizations of one name, requests in a second (0: as many as you like)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    new_orders: OneRate = None
    per_registered_domain: OneRate = None
    per_name: OneRate = None
    failed_authorizations: OneRate = None
    requests_per_second: float = Field(default=0, ge=0, le=10_000)


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
"""By the host of the directory: what CAs publish, a little below it for requests, which they count by address."""


class CaSettings(BaseModel):
    """One CA. eab_…: External Account Binding, where it wants one (RFC 8555 §7.3.4). profile: one of its directory's.
    preferred_chain: the common name of an issuer that its chain should lead to. hosts: more hosts that its URLs may
    lie at. weight: its share of the domains whose first choice it is; where no CA has one, the order decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: WebUrl
    eab_key_id: str = ""
    eab_hmac_key: Base64Url = SecretStr("")
    profile: str = ""
    preferred_chain: str = ""
    hosts: Names = ()
    weight: int = Field(default=0, ge=0, le=1000)
    limits: CaLimits = CaLimits()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.eab_key_id) != bool(self.eab_hmac_key.get_secret_value()):
            raise ValueError("eab_key_id and eab_hmac_key go together")
        return self

    @property
    def allowed(self) -> CaLimits:
        """What it allows: as set, else as is known of it."""
        known = KNOWN_LIMITS.get(urlsplit(self.directory).hostname or "", {})
        return CaLimits.model_validate(known | self.limits.model_dump(exclude_unset=True))


def one_of_each(values: tuple[CaSettings, ...]) -> tuple[CaSettings, ...]:
    """The same. ValueError where a directory is named twice."""
    if len({one.directory for one in values}) < len(values):
        raise ValueError("it names a directory twice")
    return values
