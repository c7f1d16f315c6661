"""What runs, what waits, and how the CAs are."""

from dataclasses import dataclass

from issuer.actions import authorities as known_authorities
from issuer.actions.overview.histograms import orders_a_day
from issuer.authorities import limits
from issuer.domain import Due, Listing
from issuer.fleet import checks as fleet_checks
from issuer.fleet import heartbeats
from issuer.ports import Check, CheckResult, Consumer, Diagnosis, Services

DUE_TITLES = {
    Due.OPEN_INTERACTIVE: "Issuances that somebody waits for",
    Due.OPEN_BULK: "Issuances of accounts that start many",
    Due.OPEN_RENEWAL: "Open renewals",
    Due.RENEWAL_START: "Renewals to start",
    Due.EXPIRY: "Certificates to expire",
    Due.RENEWAL_INFO: "Questions to CAs when to renew",
    Due.DNS_RECHECK: "Domains that point elsewhere, to be asked again",
    Due.EDGE_CONFIRMATION: "Certificates that edges must confirm",
    Due.REVOCATION: "Certificates to revoke",
    Due.REMOVAL: "Records to remove",
}


@dataclass(frozen=True, slots=True)
class FleetView:
    """The processes. checks: what of them is as it should be, now. consumers: who takes messages, and whether they have
    shown themselves of late. diagnosis: what the fleet has found last about everything around it; None before it has
    looked."""

    checks: tuple[Check, ...]
    consumers: tuple[tuple[Consumer, bool], ...]
    diagnosis: Diagnosis | None


@dataclass(frozen=True, slots=True)
class DueView:
    """What is planned. entries: for how many names; due: of these, how many by now. first_at: when the first is due
    (epoch seconds), or None."""

    title: str
    entries: int
    due: int
    first_at: float | None


@dataclass(frozen=True, slots=True)
class CaView:
    """A CA. account: our account there, in words. cooldown_until: until when it is not asked after failures, or None.
    certificates: how many certificates of it are in force or held. orders_a_day: what it allows our account;
    orders_left: of that, what there is room for now; None: no limit is known."""

    directory_url: str
    account: str
    cooldown_until: float | None
    certificates: int
    orders_a_day: int | None
    orders_left: int | None


def fleet(services: Services) -> FleetView:
    """The processes now, and the last diagnosis."""
    seen = heartbeats.seen(services)
    consumers = tuple((one, seen.is_alive(one)) for one in seen.heartbeats.consumers)
    return FleetView(tuple(fleet_checks.of(seen)), consumers, services.faults.diagnosis())


def faults(services: Services) -> list[Check]:
    """What is wrong with the fleet: of its processes now, of all else as it was found last."""
    now = fleet_checks.checks(services)
    codes = {check.code for check in now}
    found = [check for check in now if check.result is CheckResult.FAILED]
    return found + [fault for fault in services.faults.open() if fault.code not in codes]


def due(services: Services) -> list[DueView]:
    """What is planned, and how much of it is due."""
    counts = services.store.count_due(services.clock())
    found = [(title, counts[due]) for due, title in DUE_TITLES.items()]
    return [DueView(title, count.entries, count.due, count.first_at) for title, count in found]


def authorities(services: Services) -> list[CaView]:
    """The CAs in order of preference, without a request to any."""
    return [
        CaView(
            view.directory_url,
            _account(view),
            view.cooldown_until,
            services.store.count_of(Listing.CA, view.directory_url),
            orders_a_day(ca),
            limits.orders_left(services, ca),
        )
        for view, ca in zip(known_authorities.list_all(services), services.cas, strict=True)
    ]


def _account(ca: known_authorities.AuthorityView) -> str:
    account = ca.account
    if account is None:
        return "none yet"
    if account.thumbprint is None:
        return "its key cannot be decrypted with ISSUER_ENCRYPTION_KEYS"
    return account.url or "not registered at the CA yet"
