"""Records in Redis. Every write to a record that depends on what was read is one script in `scripts.lua`.

Keys, all below `issuer:`
  domain:{name}       hash: domain and issuance (JSON), id, version, lease_until, begun, urgent_by, ca, served
  changes             stream: names whose `served` has changed, for the edges, see `feed`
  agenda:{due_index}     sorted set: names by the time when something is due for them; one for each `Due`, and `ready`
  pace, quota:{what}  string with an end: how much of an allowance is spent
  token:{token}       string with an end: an HTTP-01 key authorization
  account:{id}        string: a customer's account (JSON); accounts: the set of their ids
  ca-account:{hash}   string: our account at a CA (JSON), by the SHA-256 of its directory URL; ca-lock:{hash}
  ca:{hash}:…         what is known of a CA, see `limits`
  metrics             hash: what is counted, see `meter`
"""

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import redis

from issuer.domain import Account, Domain, Due, Issuance, Record, domain_of
from issuer.ports import NO_QUOTA, CaAccount, Conflict, OverQuota, PlannedRenewal, Quota
from issuer.problem import Problem, ProblemType
from issuer.store import texts
from issuer.store.connection import connect, redis_errors
from issuer.store.counters import RedisCounters
from issuer.store.feed import RedisFeed
from issuer.store.limits import RedisLimits
from issuer.store.scripts import run

__all__ = ["RedisCounters", "RedisFeed", "RedisLimits", "RedisStore", "connect"]

ROOT = "issuer:"
ACCOUNTS = f"{ROOT}accounts"
DOMAINS = f"{ROOT}domain:"
DUE_INDEXES = [f"{ROOT}agenda:{one}" for one in Due]
OPEN_INDEXES = DUE_INDEXES[:3]
READY_INDEX = f"{ROOT}agenda:ready"
PACE = f"{ROOT}pace"
PACE_BURST_SECONDS = 60
"""What a pause of the scheduler may save up: as much as is handed out in this time, and one at least."""
LINE_UP = 1000
MAX_LINE_UPS = 50
PAGE = 1000


class RedisStore:
    """The `Store` and `CaAccounts` ports over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def load(self, name: str) -> Record | None:
        """See `ports.Store`."""
        with redis_errors():
            values = cast("dict[str, str]", self._redis.hgetall(_domain_key(name)))
        return texts.record(values) if values else None

    def open(
        self,
        domain: Domain,
        issuance: Issuance,
        *,
        version: int,
        requeue_at: float,
        now: float = 0,
        quota: Quota = NO_QUOTA,
    ) -> Record:
        """See `ports.Store`."""
        record = Record(domain, issuance)
        keys = [_domain_key(domain.name), f"{ROOT}quota:{quota.of}", *DUE_INDEXES, READY_INDEX]
        spent = (now, quota.seconds, quota.burst)
        saved = run(self._redis, "open", keys, *_fenced(record, version), *spent, *_times(record, requeue_at))
        if isinstance(saved, str):
            raise OverQuota(float(saved))
        return replace(record, version=_unless_refused(saved))

    def lease(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """See `ports.Store`."""
        name = domain_of(issuance_id)
        values = run(self._redis, "lease", [_domain_key(name), *OPEN_INDEXES], name, issuance_id, now, until)
        if not values:
            return None
        return texts.record(values if isinstance(values, dict) else dict(zip(values[::2], values[1::2], strict=True)))

    def save(self, record: Record) -> Record:
        """See `ports.Store`."""
        domain, issuance = record.domain, record.issuance
        written = (texts.domain_text(domain), texts.issuance_text(issuance))
        saved = run(self._redis, "save", [_domain_key(domain.name)], issuance.id, record.version, *written)
        return replace(record, version=_unless_refused(saved))

    def save_and_release(self, record: Record, *, requeue_at: float | None) -> Record:
        """See `ports.Store`."""
        keys = [_domain_key(record.domain.name), *DUE_INDEXES, READY_INDEX]
        fenced = _fenced(record, record.version)
        saved = run(
            self._redis, "save_and_release", keys, *fenced, record.attempts_started, *_times(record, requeue_at)
        )
        return replace(record, version=_unless_refused(saved), lease_until=0)

    def amend(self, record: Record, *, now: float) -> Record:
        """See `ports.Store`."""
        keys = [_domain_key(record.domain.name), *DUE_INDEXES[len(OPEN_INDEXES) :], READY_INDEX]
        name, version, _, domain, issuance, *more = _fenced(record, record.version)
        times = _times(record, None)[len(OPEN_INDEXES) :]
        saved = run(self._redis, "amend", keys, name, version, domain, issuance, *more, now, *times)
        return replace(record, version=_unless_refused(saved))

    def forget(self, record: Record) -> None:
        """See `ports.Store`."""
        name = record.domain.name
        keys = [_domain_key(name), *DUE_INDEXES, READY_INDEX]
        _unless_refused(run(self._redis, "forget", keys, name, record.version, record.issuance.id))

    def claim(self, due_index: Due, *, now: float, limit: int, requeue_at: float) -> list[str]:
        """See `ports.Store`."""
        return cast("list[str]", run(self._redis, "claim", [f"{ROOT}agenda:{due_index}"], now, limit, requeue_at))

    def claim_renewals(
        self, *, now: float, limit: int, requeue_at: float, per_second: float, at_once: int
    ) -> list[str]:
        """See `ports.Store`."""
        renew = f"{ROOT}agenda:{Due.RENEWAL_START}"
        for _ in range(MAX_LINE_UPS):
            if run(self._redis, "line_up", [renew, READY_INDEX], now, LINE_UP, DOMAINS) < LINE_UP:
                break
        keys = [READY_INDEX, renew, f"{ROOT}agenda:{Due.OPEN_RENEWAL}", PACE]
        allowed = (limit, per_second, max(PACE_BURST_SECONDS, 1 / per_second), at_once)
        return cast("list[str]", run(self._redis, "claim_renewals", keys, now, requeue_at, *allowed))

    def planned_renewals(self) -> Iterator[PlannedRenewal]:
        """See `ports.Store`."""
        for due_index in (f"{ROOT}agenda:{Due.RENEWAL_START}", READY_INDEX):
            cursor = None
            while cursor != 0:
                with redis_errors():
                    cursor, found = cast("Any", self._redis.zscan(due_index, cursor or 0, count=PAGE))
                    pipeline = self._redis.pipeline(transaction=False)
                    for name, _ in found:
                        pipeline.hget(_domain_key(name), "ca")
                    cas = pipeline.execute()
                for (name, at), ca in zip(found, cas, strict=True):
                    yield PlannedRenewal(name, 0 if due_index == READY_INDEX else at, ca or "")

    def names(self, due_index: Due, *, limit: int) -> tuple[int, list[str]]:
        """See `ports.Store`."""
        key = f"{ROOT}agenda:{due_index}"
        with redis_errors():
            return self._redis.zcard(key), cast("list[str]", self._redis.zrange(key, 0, limit - 1))

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """See `ports.Store`."""
        with redis_errors():
            self._redis.set(f"{ROOT}token:{token}", key_authorization, ex=seconds)

    def key_authorization(self, token: str) -> str | None:
        """See `ports.Store`."""
        return self._get(f"{ROOT}token:{token}")

    def account(self, account_id: str) -> Account | None:
        """See `ports.Store`."""
        text = self._get(_account_key(account_id))
        return texts.account(text) if text else None

    def accounts(self) -> list[Account]:
        """See `ports.Store`."""
        with redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(ACCOUNTS)))
            found = cast("list[str | None]", self._redis.mget([_account_key(one) for one in ids])) if ids else []
        return [texts.account(text) for text in found if text]

    def create_account(self, account: Account) -> None:
        """See `ports.Store`."""
        with redis_errors():
            pipeline = self._redis.pipeline()
            pipeline.set(_account_key(account.id), texts.account_text(account), nx=True)
            pipeline.sadd(ACCOUNTS, account.id)
            is_new = pipeline.execute()[0]
        if not is_new:
            raise Problem(ProblemType.ACCOUNT_EXISTS, account.id)

    def change_account(self, account_id: str, *, only_missing: bool = False, **changes: str) -> None:
        """See `ports.Store`."""
        key = _account_key(account_id)

        def change(watched: redis.client.Pipeline) -> None:
            text = cast("str | None", watched.get(key))
            watched.multi()
            if text:
                held = json.loads(text)
                watched.set(key, json.dumps(changes | held if only_missing else held | changes))

        with redis_errors():
            self._redis.transaction(change, key)

    def ping(self) -> None:
        """See `ports.Store`."""
        with redis_errors():
            self._redis.ping()

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """See `ports.CaAccounts`."""
        text = self._get(_ca_key("ca-account", directory_url))
        return texts.ca_account(text) if text else None

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """See `ports.CaAccounts`."""
        expected = texts.account_text(instead_of) if instead_of else ""
        key = _ca_key("ca-account", directory_url)
        return texts.ca_account(run(self._redis, "keep_ca_account", [key], expected, texts.account_text(account)))

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> str | None:
        """See `ports.CaAccounts`."""
        mine = secrets.token_hex(16)
        with redis_errors():
            return mine if self._redis.set(_ca_key("ca-lock", directory_url), mine, nx=True, ex=seconds) else None

    def unlock_ca_account(self, directory_url: str, lock: str) -> None:
        """See `ports.CaAccounts`."""
        run(self._redis, "unlock", [_ca_key("ca-lock", directory_url)], lock)

    def _get(self, key: str) -> str | None:
        with redis_errors():
            return cast("str | None", self._redis.get(key))


def _unless_refused(version: int) -> int:
    if not version:
        raise Conflict
    return version


def _domain_key(name: str) -> str:
    return f"{DOMAINS}{name}"


def _account_key(account_id: str) -> str:
    return f"{ROOT}account:{account_id}"


def _ca_key(kind: str, directory_url: str) -> str:
    return f"{ROOT}{kind}:{hashlib.sha256(directory_url.encode()).hexdigest()[:32]}"


def _fenced(record: Record, version: int) -> tuple[str | float, ...]:
    """What the scripts that write a record take first: name, version, id, domain, issuance, urgent_by, ca, served."""
    domain, issuance = record.domain, record.issuance
    ca = domain.certificate.ca if domain.certificate else ""
    written = (texts.domain_text(domain), texts.issuance_text(issuance))
    return domain.name, version, issuance.id, *written, domain.urgent_by, ca, domain.edge_version


def _times(record: Record, requeue_at: float | None) -> list[str | float]:
    """Times for `DUE_INDEXES` and for READY_INDEX, which a record only gets into by itself."""
    return ["" if at is None else at for at in (*record.due_times(requeue_at).values(), None)]
