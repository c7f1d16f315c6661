"""The open faults of the fleet, and the last diagnosis. What cannot be read here is left out: it is found again."""

import json
from contextlib import suppress
from dataclasses import asdict, fields, replace
from typing import Any, cast

import redis

from issuer.ports import Check, CheckResult, Diagnosis
from issuer.problem import Actor
from issuer.store.connection import redis_errors
from issuer.store.keys import DIAGNOSIS, FAULTS

MEMBERS = frozenset(field.name for field in fields(Check))


class RedisFaults:
    """The `Faults` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(self, check: Check) -> bool:
        """See `ports.Faults`."""
        field = _field(check)
        with redis_errors():
            is_new = bool(self._redis.hsetnx(FAULTS, field, check_text(check)))
            known = None if is_new else _check(cast("str | None", self._redis.hget(FAULTS, field)))
            if known and known != (newer := replace(check, since=known.since)):
                self._redis.hset(FAULTS, field, check_text(newer))
        return is_new

    def end(self, check: Check) -> Check | None:
        """See `ports.Faults`."""
        field = _field(check)
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.hget(FAULTS, field)
            pipeline.hdel(FAULTS, field)
            former, removed = pipeline.execute()
        return (_check(former) or check) if removed else None

    def open(self) -> list[Check]:
        """See `ports.Faults`."""
        with redis_errors():
            stored = cast("dict[str, str]", self._redis.hgetall(FAULTS))
        return [check for _, text in sorted(stored.items()) if (check := _check(text))]

    def keep_diagnosis(self, diagnosis: Diagnosis) -> None:
        """See `ports.Faults`."""
        with redis_errors():
            self._redis.set(DIAGNOSIS, json.dumps(asdict(diagnosis)))

    def diagnosis(self) -> Diagnosis | None:
        """See `ports.Faults`."""
        with redis_errors():
            text = cast("str | None", self._redis.get(DIAGNOSIS))
        with suppress(ValueError, TypeError, LookupError, RecursionError):
            members = json.loads(text or "")
            found = [_read(values) for values in members["checks"]]
            checks = tuple(check for check in found if check)
            return Diagnosis(float(members["at"]), checks, float(members.get("cas_at", 0)))
        return None


def check_text(check: Check) -> str:
    """JSON of a check."""
    return json.dumps(asdict(check))


def _field(check: Check) -> str:
    return f"{check.code} {check.subject}".rstrip()


def _check(text: str | None) -> Check | None:
    with suppress(ValueError, RecursionError):
        return _read(json.loads(text or ""))
    return None


def _read(values: Any) -> Check | None:
    """A check from its members; those of a newer release are left out. None if it is none."""
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        known = {name: value for name, value in values.items() if name in MEMBERS}
        read = {
            "result": CheckResult(known["result"]),
            "must_act": Actor(known["must_act"]),
            "records": tuple(known["records"]),
        }
        return Check(**known | read)
    return None
