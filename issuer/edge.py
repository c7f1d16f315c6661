"""What TLS terminators serve for a name: its chain and key, and the HSTS policy. From the record alone."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from issuer.domain import Domain, Hsts
from issuer.keys import as_pem, neutral_bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

KEPT = 10_000
AWAY_SECONDS = 1.0
"""For so long after the store did not answer it is not asked for what is held."""
TRIAL_SECONDS = 5.0
"""How long one caller may take to find out whether it answers again, while the others do not wait for it."""


@dataclass(frozen=True, slots=True)
class Served:
    """chain and key: PEM. policy: the HSTS policy in force. is_ended: the record says that its end has come, whatever
    the clock here says. version: `Domain.served`."""

    name: str
    chain: str
    key: str = field(repr=False)
    serial: str
    not_after: float
    is_ended: bool
    policy: Hsts
    version: str

    @property
    def bundle(self) -> str:
        """Chain and key in one, as Caddy and HAProxy take them."""
        return self.chain + self.key

    def is_valid(self, now: float) -> bool:
        """True up to and including the second of notAfter."""
        return not self.is_ended and now < self.not_after + 1

    def header(self, now: float) -> str | None:
        """The value of Strict-Transport-Security (RFC 6797 §6.1); None where there is nothing to be told, and without a
        valid certificate in force."""
        return self.policy.header(now) if self.is_valid(now) else None


def served(services: Services, name: str) -> Served | None:
    """What edges serve for a canonical name; None for nothing. Raises Problem."""
    record = services.store.load(name)
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None:
        return None
    return Served(
        name,
        certificate.chain,
        as_pem(services.vault.decrypt(certificate.key)),
        certificate.serial,
        certificate.not_after,
        record.domain.is_end_told,
        policy(services, record.domain),
        record.domain.served,
    )


def policy(services: Services, domain: Domain) -> Hsts:
    """The HSTS policy in force for a domain: its own, or the default one."""
    return domain.hsts or Hsts(services.hsts_max_age_seconds)


def default_hsts_header(services: Services) -> str | None:
    """The header of all domains without a policy of their own."""
    return Hsts(services.hsts_max_age_seconds).header(services.clock())


class Shelf:
    """What this process has served of late: decrypted once, and checked each time against the record's `served`. When
    the store is away, what is on it goes on being served."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: OrderedDict[str, Served] = OrderedDict()
        self._lock = threading.Lock()
        self._ask_again_at = 0.0
        self.neutral = neutral_bundle()
        """What names without a certificate may be shown, PEM."""

    def served(self, name: str) -> Served | None:
        """What edges serve for a canonical name. Raises Problem where the store is away and it is not on the shelf."""
        held = self._held.get(name)
        if held and self._is_away():
            return held
        try:
            version = self._services.feed.served(name)
            self._ask_again_at = 0.0
            if held and held.version == version:
                return held
            found = served(self._services, name) if version else None
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                self._ask_again_at = time.monotonic() + AWAY_SECONDS
                if held:
                    return held
            raise
        with self._lock:
            self._held.pop(name, None)
            if found:
                self._held[name] = found
                if len(self._held) > KEPT:
                    self._held.popitem(last=False)
        return found

    def _is_away(self) -> bool:
        """Whether the store did not answer just now, or somebody else is finding out whether it does again."""
        now = time.monotonic()
        if now < self._ask_again_at:
            return True
        if self._ask_again_at:
            self._ask_again_at = now + TRIAL_SECONDS
        return False
