"""What all workers share about each CA: its health, and how much of its rate limits is used.

Keys, all below `issuer:ca:{hash of the directory URL}:`
  rest                 hash: failures in a row, cooldowns in a row (`rests`), `since` when it has had them, and the
                       present one: `until`, `failed_at`, `is_fixed`, `is_trial`, `problem` (JSON)
  back                 hash that expires: when its last cooldown ended (`at`), and how far those that waited are woken
  pace                 string that expires: how much of the requests per second is spent
  quota:{what}         string that expires: how much of a quota is spent
  refused              sorted set: the registered domains below which it has refused an order, by the refusal's end
  refused:{registered} sorted set: the refused names below one registered domain, by the refusal's end
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import redis

from issuer.names import registered_domain
from issuer.ports import CaReturn, Cooldown, Pause, Quota
from issuer.problem import Problem
from issuer.store.connection import redis_errors
from issuer.store.keys import ca_key, quota_key
from issuer.store.scripts import run

FAILURES_IN_A_ROW, REPEATED_IN_A_ROW = 3, 2
FIRST_COOLDOWN_SECONDS, FIRST_CERTAIN_COOLDOWN_SECONDS = 30, 600
LONGEST_COOLDOWN_SECONDS = 600
LONGEST_ASKED_FOR_SECONDS = 3600
"""The longest cooldown of all: if the CA asks for it, or if our operator must act."""
TRIAL_SECONDS = 10
"""How long others wait for the one caller that tries a CA after its cooldown."""
REQUESTS_OF_A_STEP = 2
PACE_BURST_SECONDS = 1
MANY_NAMES, MANY_DOMAINS = 2, 3
"""A CA that has refused this many names below one registered domain, or names below this many registered domains, is
asked for no other name there: its limit must be that wide. Only the prose of a refusal says which limit it was."""


class RedisLimits:
    """The `Limits` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def admit(self, ca: str, *, now: float, requests_per_second: float) -> Pause | None:
        """See `ports.Limits`."""
        step_seconds = REQUESTS_OF_A_STEP / requests_per_second if requests_per_second else 0
        known = {"health": ca_key(ca, "rest"), "pace": ca_key(ca, "pace")}
        args = {
            "now": now,
            "seconds": step_seconds,
            "burst_seconds": max(PACE_BURST_SECONDS, step_seconds),
            "longest": LONGEST_ASKED_FOR_SECONDS,
            "trial": TRIAL_SECONDS,
        }
        until, is_cooldown, problem = run(self._redis, "admit", known, args)
        return Pause(float(until), bool(is_cooldown), _problem(problem)) if until else None

    def record_failure(
        self,
        ca: str,
        *,
        now: float,
        until: float | None = None,
        is_repeated: bool = False,
        is_certain: bool = False,
        problem: Problem | None = None,
    ) -> float | None:
        """See `ports.Limits`."""
        args = {
            "now": now,
            "asked_for": until or "",
            "failures": 1 if is_certain else REPEATED_IN_A_ROW if is_repeated else FAILURES_IN_A_ROW,
            "first": FIRST_CERTAIN_COOLDOWN_SECONDS if is_certain else FIRST_COOLDOWN_SECONDS,
            "longest": LONGEST_ASKED_FOR_SECONDS if until or is_certain else LONGEST_COOLDOWN_SECONDS,
            "longest_of_all": LONGEST_ASKED_FOR_SECONDS,
            "is_fixed": "1" if until else "",
            "problem": json.dumps(problem.as_dict()) if problem else "",
        }
        cooldown_until = run(self._redis, "record_failure", _health(ca), args)
        return float(cooldown_until) if cooldown_until else None

    def cooldown_until(self, ca: str, *, now: float) -> float | None:
        """See `ports.Limits`."""
        with redis_errors():
            until = float(cast("str | None", self._redis.hget(ca_key(ca, "rest"), "until")) or 0)
        return until if until > now else None

    def cooldown(self, ca: str) -> Cooldown | None:
        """See `ports.Limits`."""
        with redis_errors():
            held = cast("dict[str, str]", self._redis.hgetall(ca_key(ca, "rest")))
        if "until" not in held:
            return None
        until, since, failed_at = (float(held.get(name, 0)) for name in ("until", "since", "failed_at"))
        is_fixed, problem = bool(held.get("is_fixed")), _problem(held.get("problem"))
        return Cooldown(until, since, failed_at, is_fixed=is_fixed, is_trial="is_trial" in held, problem=problem)

    def end_cooldown(self, ca: str, cooldown: Cooldown, *, now: float) -> bool:
        """See `ports.Limits`."""
        args = {"now": now, "cooldown_until": f"{cooldown.until:.3f}"}
        return bool(run(self._redis, "end_cooldown", _health(ca), args))

    def record_success(self, ca: str, *, now: float | None = None) -> bool:
        """See `ports.Limits`."""
        health = ca_key(ca, "rest")
        with redis_errors():
            if not (self._redis.exists(health) if now is not None else self._redis.delete(health)):
                return False  # as it nearly always is, for one command
        return now is not None and bool(run(self._redis, "record_success", _health(ca), {"now": repr(float(now))}))

    def begin_return(self, ca: str, *, now: float) -> None:
        """See `ports.Limits`."""
        run(self._redis, "begin_return", _health(ca), {"now": repr(float(now))})

    def return_of(self, ca: str) -> CaReturn | None:
        """See `ports.Limits`."""
        with redis_errors():
            at, place = cast("list[str | None]", self._redis.hmget(ca_key(ca, "back"), "at", "place"))
        return CaReturn(float(at), place or "") if at else None

    def keep_place(self, ca: str, back: CaReturn, place: str) -> None:
        """See `ports.Limits`."""
        run(self._redis, "keep_place", _health(ca), {"at": repr(back.at), "place": place})

    def spend(self, ca: str, name: str, quotas: Sequence[Quota], *, now: float) -> float | None:
        """See `ports.Limits`."""
        counted = [quota for quota in quotas if quota.burst]
        known = _refusals(ca, name) | _named([ca_key(ca, f"quota:{quota.of}") for quota in counted])
        refusals = {"name": name, "many_names": MANY_NAMES, "many_domains": MANY_DOMAINS}
        room_at = run(self._redis, "spend", known, {"now": now} | refusals | _rates(counted))
        return float(room_at) if room_at else None

    def left(self, ca: str, quota: Quota, *, now: float) -> float:
        """See `ports.Limits`."""
        with redis_errors():
            spent = cast("str | None", self._redis.get(ca_key(ca, f"quota:{quota.of}")))
        with suppress(ValueError):
            earned_back = max(float(spent or 0), now)
            return min(max(quota.burst - (earned_back - now) / quota.seconds, 0), quota.burst)
        return quota.burst  # as the scripts take what is no number

    def use(self, quota: Quota, *, now: float) -> bool:
        """See `ports.Limits`."""
        return not run(self._redis, "spend", _named([quota_key(quota.of)]), {"now": now} | _rates([quota]))

    def refund(self, ca: str, quotas: Sequence[Quota], *, now: float) -> None:
        """See `ports.Limits`."""
        counted = [quota for quota in quotas if quota.burst]
        known = _named([ca_key(ca, f"quota:{quota.of}") for quota in counted])
        run(self._redis, "refund", known, {"now": now} | _rates(counted))

    def record_refusal(self, ca: str, name: str, *, now: float, until: float) -> None:
        """See `ports.Limits`."""
        args: dict[str, Any] = {"now": now, "until": until, "name": name, "domain": registered_domain(name)}
        run(self._redis, "record_refusal", _refusals(ca, name), args)


def _problem(text: str | None) -> Problem | None:
    """None if there is none, or if a newer release has written it."""
    try:
        return Problem.from_dict(json.loads(text)) if text else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _named(quota_keys: list[str]) -> dict[str, str]:
    return {f"quota{number}": key for number, key in enumerate(quota_keys, 1)}


def _rates(quotas: Sequence[Quota]) -> dict[str, Any]:
    rates: dict[str, Any] = {"quotas": len(quotas)}
    for number, quota in enumerate(quotas, 1):
        parts = {"seconds": quota.seconds, "burst": quota.burst, "cost": quota.cost, "reserve": quota.reserve}
        rates |= {f"{part}{number}": value for part, value in parts.items()}
    return rates


def _health(ca: str) -> dict[str, str]:
    return {"health": ca_key(ca, "rest"), "back": ca_key(ca, "back")}


def _refusals(ca: str, name: str) -> dict[str, str]:
    refused = f"refused:{registered_domain(name)}"
    return {"refused_names": ca_key(ca, refused), "refused_domains": ca_key(ca, "refused")}
