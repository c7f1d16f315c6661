"""A customer of this service."""

from dataclasses import dataclass, field
from enum import StrEnum


class Plan(StrEnum):
    """What an account has subscribed to."""

    HTTPS = "https"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of this service (a platform, or a part of one).

    key_hash: SHA-256 of the API key, in hexadecimal digits.
    token: the label with which its domains prove in DNS that they belong to it; empty until it is first needed.
    """

    id: str
    plan: Plan
    key_hash: str = field(repr=False)
    created_at: float
    token: str = ""
