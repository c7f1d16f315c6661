"""The accounts of customers, and our accounts at the CAs."""

import json
import secrets
from typing import cast

import redis
import structlog

from issuer.domain import Account
from issuer.ports import CaAccount
from issuer.problem import Problem, ProblemType
from issuer.store import keys, texts
from issuer.store.connection import redis_errors
from issuer.store.identity import RedisIdentity
from issuer.store.scripts import run

REPAIR = "the operator must create it again (issuer accounts create), which prints a new API key; its domains stay"

log = structlog.get_logger(__name__)


class RedisAccounts(RedisIdentity):
    """Part of `RedisStore`."""

    def account(self, account_id: str) -> Account | None:
        """See `ports.Store`."""
        try:
            text = self._text(keys.account_key(account_id))
            if text is None:
                return None
            if (account := texts.account(text)).id == account_id:
                return account
        except Problem as problem:
            if problem.type is not ProblemType.DAMAGED_RECORD:
                raise
        raise Problem(ProblemType.DAMAGED_RECORD, account_id, message="the stored account cannot be read", hint=REPAIR)

    def accounts(self) -> list[Account]:
        """See `ports.Store`."""
        with redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(keys.ACCOUNTS)))
            stored = self._redis.mget([keys.account_key(account_id) for account_id in ids]) if ids else []
        pairs = zip(ids, cast("list[str | None]", stored), strict=True)
        readable = [_readable(account_id, text) for account_id, text in pairs if text is not None]
        return [account for account in readable if account]

    def create_account(self, account: Account) -> None:
        """See `ports.Store`."""
        is_damaged = False
        try:
            self.account(account.id)
        except Problem as problem:
            if problem.type is not ProblemType.DAMAGED_RECORD:
                raise
            is_damaged = True
        with redis_errors():
            pipeline = self._redis.pipeline()
            if is_damaged:
                pipeline.delete(keys.account_key(account.id))
            pipeline.set(keys.account_key(account.id), texts.account_text(account), nx=True)
            pipeline.sadd(keys.ACCOUNTS, account.id)
            is_new = pipeline.execute()[-2]
        if not is_new:
            raise Problem(ProblemType.ACCOUNT_EXISTS, account.id)

    def change_account(self, account_id: str, *, only_missing: bool = False, **changes: str) -> None:
        """See `ports.Store`."""
        key = keys.account_key(account_id)

        def change(watched: redis.client.Pipeline) -> None:
            text = cast("str | None", watched.get(key))
            watched.multi()
            if text:
                held = json.loads(text)
                watched.set(key, json.dumps(changes | held if only_missing else held | changes))

        with redis_errors():
            self._redis.transaction(change, key)

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """See `ports.CaAccounts`."""
        text = self._text(keys.ca_account_key(directory_url))
        return None if text is None else texts.ca_account(text)

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """See `ports.CaAccounts`."""
        expected = texts.account_text(instead_of) if instead_of else ""
        key = {"account": keys.ca_account_key(directory_url)}
        args = {"expected": expected, "new": texts.account_text(account)}
        kept = self._guarded("keep_ca_account", key, args, is_first=True)
        is_registered = account.url and not (instead_of and instead_of.url)
        if is_registered and kept == args["new"]:
            log.warning("our account at a CA is a new one", directory=directory_url, account_url=account.url)
        return texts.ca_account(kept)

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> str | None:
        """See `ports.CaAccounts`."""
        self._require_known()  # before there is a new account at the CA
        holder = secrets.token_hex(16)
        with redis_errors():
            return holder if self._redis.set(keys.ca_lock_key(directory_url), holder, nx=True, ex=seconds) else None

    def unlock_ca_account(self, directory_url: str, lock: str) -> None:
        """See `ports.CaAccounts`."""
        run(self._redis, "unlock", {"lock": keys.ca_lock_key(directory_url)}, {"holder": lock})

    def remove_ca_account(self, directory_url: str) -> bool:
        """See `ports.CaAccounts`."""
        with redis_errors():
            return bool(self._redis.delete(keys.ca_account_key(directory_url)))

    def _text(self, key: str) -> str | None:
        with redis_errors():
            return cast("str | None", self._redis.get(key))


def _readable(account_id: str, text: str) -> Account | None:
    """An account; None, with a line in the log, if it is damaged."""
    try:
        return texts.account(text)
    except Problem as problem:
        log.error("damaged account", account=account_id, reason=problem.detail)  # noqa: TRY400 - no traceback is needed
        return None
