"""What all workers know together of each CA: whether it rests, and how much of what it allows is used.

Keys, all below `issuer:ca:{hash of the directory URL}:`
  rest                 hash: failures in a row, rests in a row, until when it rests
  pace                 string with an end: how much of the requests in a second is spent
  quota:{what}         the same of an allowance
  refused              sorted set: registered domains below which it has refused an order, by until when
  refused:{registered} sorted set: the names below one, by until when
"""

import hashlib
from collections.abc import Sequence
from typing import cast

import redis

from issuer.names import registered_domain
from issuer.ports import Pause, Quota
from issuer.store.connection import redis_errors
from issuer.store.scripts import run

FAILURES_IN_A_ROW, REPEATED_IN_A_ROW = 3, 2
FIRST_REST_SECONDS, FIRST_CERTAIN_REST_SECONDS = 30, 600
LONGEST_REST_SECONDS = 600
LONGEST_ASKED_FOR_SECONDS = 3600
"""The longest of all: where the CA asks for it, or its operator must act."""
TRIAL_SECONDS = 10
"""How long the one that tries a CA after its rest keeps the others waiting."""
REQUESTS_OF_A_STEP = 2
PACE_BURST_SECONDS = 1
MANY_NAMES, MANY_DOMAINS = 2, 3
"""A CA that has refused so many names below one registered domain, or below so many of these, is not asked for
another: its limit is as wide as that, and which one it is stands in its prose alone."""

NO_REFUSALS = "issuer:none"
"""A key that is never there."""


class RedisLimits:
    """The `Limits` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def admit(self, ca: str, *, now: float, requests_per_second: float) -> Pause | None:
        """See `ports.Limits`."""
        step_seconds = REQUESTS_OF_A_STEP / requests_per_second if requests_per_second else 0
        burst_seconds = max(PACE_BURST_SECONDS, step_seconds)
        keys = [_key(ca, "rest"), _key(ca, "pace")]
        known = (now, step_seconds, burst_seconds, LONGEST_ASKED_FOR_SECONDS, TRIAL_SECONDS)
        until, is_cooldown = run(self._redis, "ask", keys, *known)
        return Pause(float(until), bool(is_cooldown)) if until else None

    def record_failure(
        self,
        ca: str,
        *,
        now: float,
        until: float | None = None,
        is_repeated: bool = False,
        is_certain: bool = False,
    ) -> float | None:
        """See `ports.Limits`."""
        many = 1 if is_certain else REPEATED_IN_A_ROW if is_repeated else FAILURES_IN_A_ROW
        first = FIRST_CERTAIN_REST_SECONDS if is_certain else FIRST_REST_SECONDS
        longest = LONGEST_ASKED_FOR_SECONDS if until or is_certain else LONGEST_REST_SECONDS
        rest = (many, first, longest, LONGEST_ASKED_FOR_SECONDS)
        rests_until = run(self._redis, "failed", [_key(ca, "rest")], now, until or "", *rest)
        return float(rests_until) if rests_until else None

    def cooldown_until(self, ca: str, *, now: float) -> float | None:
        """See `ports.Limits`."""
        with redis_errors():
            until = float(cast("str | None", self._redis.hget(_key(ca, "rest"), "until")) or 0)
        return until if until > now else None

    def record_success(self, ca: str) -> None:
        """See `ports.Limits`."""
        with redis_errors():
            self._redis.delete(_key(ca, "rest"))

    def spend(self, ca: str, name: str, quotas: Sequence[Quota], *, now: float) -> float | None:
        """See `ports.Limits`."""
        counted = [quota for quota in quotas if quota.burst]
        keys = [*_refusals(ca, name), *(_key(ca, f"quota:{quota.of}") for quota in counted)]
        rates = [part for quota in counted for part in _rate(quota)]
        room_at = run(self._redis, "spend", keys, now, name, MANY_NAMES, MANY_DOMAINS, *rates)
        return float(room_at) if room_at else None

    def use(self, quota: Quota, *, now: float) -> bool:
        """See `ports.Limits`."""
        keys = [NO_REFUSALS, NO_REFUSALS, f"issuer:quota:{quota.of}"]
        return not run(self._redis, "spend", keys, now, "", MANY_NAMES, MANY_DOMAINS, *_rate(quota))

    def refund(self, ca: str, quotas: Sequence[Quota], *, now: float) -> None:
        """See `ports.Limits`."""
        counted = [quota for quota in quotas if quota.burst]
        keys = [_key(ca, f"quota:{quota.of}") for quota in counted]
        rates = [part for quota in counted for part in _rate(quota)]
        run(self._redis, "give_back", keys, now, *rates)

    def record_refusal(self, ca: str, name: str, *, now: float, until: float) -> None:
        """See `ports.Limits`."""
        run(self._redis, "refused", _refusals(ca, name), now, until, name, registered_domain(name))


def _rate(quota: Quota) -> tuple[float, int, int, int]:
    return quota.seconds, quota.burst, quota.cost, quota.reserve


def _key(ca: str, what: str) -> str:
    return f"issuer:ca:{hashlib.sha256(ca.encode()).hexdigest()[:32]}:{what}"


def _refusals(ca: str, name: str) -> list[str]:
    return [_key(ca, f"refused:{registered_domain(name)}"), _key(ca, "refused")]
