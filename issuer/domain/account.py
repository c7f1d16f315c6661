"""A customer of this service."""

from dataclasses import dataclass, field
from enum import StrEnum


class Plan(StrEnum):
    """What an account has booked."""

    HTTPS = "https"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of this service (a platform, or a part of one). key_hash: SHA-256 of the API key, hexadecimal.
    token: a label that its domains may show in DNS to be its own; empty where it has needed none yet."""

    id: str
    plan: Plan
    key_hash: str = field(repr=False)
    created_at: float
    token: str = ""
