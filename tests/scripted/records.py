"""The records of the server, and their documents (RFC 8555 §7.1)."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cryptography import x509
from josepy.jwk import JWKEC

from tests.scripted.answers import Refused, malformed

LOST = frozenset({"invalid", "deactivated", "expired", "revoked"})
"""States of an authorization that make its order invalid (§7.1.6)."""


def in_a_week() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=7)


@dataclass
class Account:
    url: str
    key: JWKEC
    contact: list[str]
    orders_url: str
    status: str = "valid"

    def document(self) -> dict[str, Any]:
        document = {"status": self.status, "contact": self.contact, "orders": self.orders_url}
        return document | {"termsOfServiceAgreed": True}


class Owned(Protocol):
    account: Account


T = TypeVar("T", bound=Owned)


@dataclass
class Challenge:
    url: str
    token: str
    status: str = "pending"
    error: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        document = {"type": "http-01", "url": self.url, "token": self.token, "status": self.status}
        if self.status == "valid":
            document["validated"] = instant(dt.datetime.now(dt.UTC))
        return document | ({"error": self.error} if self.error else {})


@dataclass
class Authorization:
    url: str
    account: Account
    name: str
    challenge: Challenge
    status: str = "pending"
    expires: dt.datetime = field(default_factory=in_a_week)

    def document(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "expires": instant(self.expires),
            "identifier": {"type": "dns", "value": self.name},
            "challenges": [self.challenge.document()],
        }

    def end(self, status: str, error: dict[str, Any] | None = None) -> None:
        """Valid, or invalid for this reason."""
        self.status = self.challenge.status = status
        self.challenge.error = error


@dataclass
class Issued:
    """A certificate for the names of its order."""

    account: Account
    leaf: x509.Certificate
    names: list[str]
    replaced_by: "Order | None" = None
    is_revoked: bool = False


@dataclass
class Order:
    """until_ready, until_valid, until_certificate: how many requests for it still show the state before that."""

    url: str
    account: Account
    names: list[str]
    authorizations: list[Authorization]
    until_ready: int
    until_valid: int
    until_certificate: int
    profile: str | None = None
    replaces: str | None = None
    is_finalized: bool = False
    is_failed: bool = False
    expires: dt.datetime = field(default_factory=in_a_week)

    @property
    def status(self) -> str:
        states = [authorization.status for authorization in self.authorizations]
        if self.is_finalized and self.until_valid > 0:
            return "processing"
        if self.is_finalized:
            return "invalid" if self.is_failed else "valid"
        if LOST.intersection(states):
            return "invalid"
        is_proved = all(state == "valid" for state in states)
        return "ready" if is_proved and self.until_ready <= 0 else "pending"

    def count_request(self) -> None:
        status = self.status
        if status == "pending" and all(authorization.status == "valid" for authorization in self.authorizations):
            self.until_ready -= 1
        elif status == "processing":
            self.until_valid -= 1
        elif status == "valid":
            self.until_certificate -= 1

    def document(self, finalize_url: str, certificate_url: str) -> dict[str, Any]:
        document = {
            "status": self.status,
            "expires": instant(self.expires),
            "identifiers": [{"type": "dns", "value": name} for name in self.names],
            "authorizations": [authorization.url for authorization in self.authorizations],
            "finalize": finalize_url,
        }
        if self.status == "valid" and self.until_certificate <= 0:
            document["certificate"] = certificate_url
        requested = {"profile": self.profile, "replaces": self.replaces}
        return document | {name: value for name, value in requested.items() if value}


def owned(record: T | None, account: Account) -> T:
    """The record, if it exists and belongs to the account. Raises Refused."""
    if record is None:
        raise malformed("there is nothing here", 404)
    if record.account is not account:
        raise Refused(403, "unauthorized", "this belongs to another account")
    return record


def instant(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
