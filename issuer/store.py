"""Records in Redis. Every write to a record that depends on what was read is one script in `store.lua`.

Keys, all below `issuer:`
  domain:{name}       hash: domain and issuance (JSON), id, version, lease_until, begun
  open                sorted set: ids of open issuances by the time to look at them again
  token:{token}       string with an end: an HTTP-01 key authorization
  account:{id}        string: a customer's account (JSON); accounts: the set of their ids
  ca-account:{hash}   string: our account at a CA (JSON), by the SHA-256 of its directory URL; ca-lock:{hash}
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from issuer.domain import Certificate, Domain, Issuance, Reason, Record, Step, domain_of
from issuer.ports import Account, CaAccount, Conflict, Plan
from issuer.problem import Problem, ProblemType

ROOT = "issuer:"
OPEN = f"{ROOT}open"
ACCOUNTS = f"{ROOT}accounts"
TIMEOUT_SECONDS = 2.0
"""How long Redis may take to connect and to answer, each."""
MAX_CONNECTIONS = 64
"""Of one process; a thread that finds all of them in use waits for one, as long as it would wait for Redis."""

SCRIPTS = dict(part.split("\n", 1) for part in Path(__file__).with_suffix(".lua").read_text().split("-- script: ")[1:])


def connect(url: str) -> redis.Redis:
    """A client for a redis:// or rediss:// URL, made so that a Redis that is away or silent is noticed soon.

    Nothing is sent twice by itself: a write whose answer was lost may have happened.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_SECONDS,
        decode_responses=True,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


class RedisStore:
    """The `Store` and `CaAccounts` ports over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def load(self, name: str) -> Record | None:
        """See `ports.Store`."""
        with _redis_errors():
            values = cast("dict[str, str]", self._redis.hgetall(_domain_key(name)))
        return _record(values) if values else None

    def open(self, domain: Domain, issuance: Issuance, *, version: int, look_again_at: float) -> Record:
        """See `ports.Store`."""
        keys = [_domain_key(domain.name), OPEN]
        texts = (_domain_json(domain), _issuance_json(issuance))
        saved = self._run("open", keys, version, *texts, issuance.id, look_again_at)
        return Record(domain, issuance, version=_unless_refused(saved))

    def take(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """See `ports.Store`."""
        keys = [_domain_key(domain_of(issuance_id)), OPEN]
        values = self._run("take", keys, issuance_id, now, until)
        if not values:
            return None
        return _record(values if isinstance(values, dict) else dict(zip(values[::2], values[1::2], strict=True)))

    def save(self, record: Record) -> Record:
        """See `ports.Store`."""
        saved = self._run("save", [_domain_key(record.domain.name)], *_fenced(record))
        return _with_version(record, _unless_refused(saved))

    def release(self, record: Record, *, look_again_at: float | None) -> Record:
        """See `ports.Store`."""
        keys = [_domain_key(record.domain.name), OPEN]
        again = "" if look_again_at is None else look_again_at
        saved = self._run("release", keys, *_fenced(record), record.begun, again)
        return replace(record, version=_unless_refused(saved), lease_until=0)

    def claim_due(self, *, now: float, limit: int, look_again_at: float) -> list[str]:
        """See `ports.Store`."""
        return cast("list[str]", self._run("claim_due", [OPEN], now, limit, look_again_at))

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """See `ports.Store`."""
        with _redis_errors():
            self._redis.set(f"{ROOT}token:{token}", key_authorization, ex=seconds)

    def key_authorization(self, token: str) -> str | None:
        """See `ports.Store`."""
        return self._get(f"{ROOT}token:{token}")

    def account(self, account_id: str) -> Account | None:
        """See `ports.Store`."""
        text = self._get(_account_key(account_id))
        return _account(text) if text else None

    def accounts(self) -> list[Account]:
        """See `ports.Store`."""
        with _redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(ACCOUNTS)))
            texts = cast("list[str | None]", self._redis.mget([_account_key(one) for one in ids])) if ids else []
        return [_account(text) for text in texts if text]

    def create_account(self, account: Account) -> None:
        """See `ports.Store`."""
        with _redis_errors():
            pipeline = self._redis.pipeline()
            pipeline.set(_account_key(account.id), json.dumps(asdict(account)), nx=True)
            pipeline.sadd(ACCOUNTS, account.id)
            is_new = pipeline.execute()[0]
        if not is_new:
            raise Problem(ProblemType.ACCOUNT_EXISTS, account.id)

    def change_account(self, account_id: str, **changes: str) -> None:
        """See `ports.Store`."""
        key = _account_key(account_id)

        def change(watched: redis.client.Pipeline) -> None:
            text = cast("str | None", watched.get(key))
            watched.multi()
            if text:
                watched.set(key, json.dumps(json.loads(text) | changes))

        with _redis_errors():
            self._redis.transaction(change, key)

    def ping(self) -> None:
        """See `ports.Store`."""
        with _redis_errors():
            self._redis.ping()

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """See `ports.CaAccounts`."""
        text = self._get(_ca_key("ca-account", directory_url))
        return _ca_account(text) if text else None

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """See `ports.CaAccounts`."""
        expected = json.dumps(asdict(instead_of)) if instead_of else ""
        key = _ca_key("ca-account", directory_url)
        kept = self._run("keep_ca_account", [key], expected, json.dumps(asdict(account)))
        return _ca_account(kept)

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> bool:
        """See `ports.CaAccounts`."""
        with _redis_errors():
            return bool(self._redis.set(_ca_key("ca-lock", directory_url), 1, nx=True, ex=seconds))

    def unlock_ca_account(self, directory_url: str) -> None:
        """See `ports.CaAccounts`."""
        with _redis_errors():
            self._redis.delete(_ca_key("ca-lock", directory_url))

    def _get(self, key: str) -> str | None:
        with _redis_errors():
            return cast("str | None", self._redis.get(key))

    def _run(self, script: str, keys: list[str], *args: str | float) -> Any:
        with _redis_errors():
            # The text goes along each time: no first call that is refused because the server does not know it yet.
            return self._redis.eval(SCRIPTS[script], len(keys), *keys, *args)


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Redis away, silent, full, read-only or loading: one Problem, without what was sent to it."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Problem(
            ProblemType.STORE_UNAVAILABLE, f"{type(error).__name__} from Redis", hint="try again in a moment"
        ) from None


def _unless_refused(version: int) -> int:
    if not version:
        raise Conflict
    return version


def _domain_key(name: str) -> str:
    return f"{ROOT}domain:{name}"


def _account_key(account_id: str) -> str:
    return f"{ROOT}account:{account_id}"


def _ca_key(kind: str, directory_url: str) -> str:
    return f"{ROOT}{kind}:{hashlib.sha256(directory_url.encode()).hexdigest()[:32]}"


def _fenced(record: Record) -> tuple[str, int, str, str]:
    issuance = record.issuance
    return issuance.id, record.version, _domain_json(record.domain), _issuance_json(issuance)


def _with_version(record: Record, version: int) -> Record:
    return replace(record, version=version)


def _domain_json(domain: Domain) -> str:
    return json.dumps(asdict(domain))


def _issuance_json(issuance: Issuance) -> str:
    problem = issuance.problem
    values = {one.name: getattr(issuance, one.name) for one in fields(issuance)}
    return json.dumps(values | {"problem": problem.as_dict() if problem else None})


def _known(kind: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that this version knows: a newer one beside it may have written more."""
    names = {one.name for one in fields(cast("Any", kind))}
    return {name: value for name, value in values.items() if name in names}


def _record(values: dict[str, str]) -> Record:
    domain = _known(Domain, json.loads(values["domain"]))
    issuance = _known(Issuance, json.loads(values["issuance"]))
    if certificate := domain.get("certificate"):
        domain["certificate"] = Certificate(**_known(Certificate, certificate))
    if problem := issuance.get("problem"):
        issuance["problem"] = Problem.from_dict(problem)
    issuance |= {"step": Step(issuance["step"]), "reason": Reason(issuance["reason"])}
    issuance["authorization_urls"] = tuple(issuance["authorization_urls"])
    return Record(
        Domain(**domain),
        Issuance(**issuance),
        version=int(values["version"]),
        lease_until=float(values.get("lease_until", 0)),
        begun=int(values["begun"]),
    )


def _account(text: str) -> Account:
    values = _known(Account, json.loads(text))
    return Account(**values | {"plan": Plan(values["plan"])})


def _ca_account(text: str) -> CaAccount:
    return CaAccount(**_known(CaAccount, json.loads(text)))
