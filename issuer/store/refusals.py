"""The requests that were refused, a day long: of each account a hash of JSON texts by name, and their times."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any, cast

from issuer.metrics import REFUSED_REQUESTS
from issuer.ports import MAX_REFUSALS, REFUSAL_SECONDS, Refusal
from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.counters import counter_field
from issuer.store.identity import RedisIdentity


class RedisRefusals(RedisIdentity):
    """Part of `RedisStore`."""

    def keep_refusal(self, refusal: Refusal) -> None:
        """See `ports.Refusals`."""
        texts, times = keys.refusal_keys(refusal.account)
        (counter,) = REFUSED_REQUESTS.once(refusal.code)
        args: dict[str, Any] = {"name": refusal.name, "at": refusal.at, "old": refusal.at - REFUSAL_SECONDS}
        args |= {"text": json.dumps(asdict(refusal)), "most": MAX_REFUSALS, "seconds": REFUSAL_SECONDS}
        known = {"texts": texts, "times": times, "metrics": keys.METRICS}
        self._guarded("keep_refusal", known, args | {"counter": counter_field(counter)})

    def refusal(self, account_id: str, name: str, *, now: float) -> Refusal | None:
        """See `ports.Refusals`."""
        with redis_errors():
            text = cast("str | None", self._redis.hget(keys.refusal_keys(account_id)[0], name))
        return _refusal(text, now)

    def refusals_of(self, name: str, *, now: float) -> list[Refusal]:
        """See `ports.Refusals`."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for account_id in sorted(cast("set[str]", self._redis.smembers(keys.ACCOUNTS))):
                pipeline.hget(keys.refusal_keys(account_id)[0], name)
            found = [_refusal(text, now) for text in pipeline.execute()]
        return sorted(filter(None, found), key=lambda refusal: -refusal.at)


def _refusal(text: str | None, now: float) -> Refusal | None:
    """A refusal; None if there is none, if it is too old, or if it is damaged."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        refusal = Refusal(**json.loads(text or ""))
        return refusal if refusal.at > now - REFUSAL_SECONDS else None
    return None
