"""Our account at a CA: one per directory URL, for all workers and for good (RFC 8555 §7.3).

Its key is saved before the CA hears of it, first writer wins: whatever is cut off in between, the account is found
again by its key. A new key is made only where the CA says that the account has been deactivated, which is final.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from cryptography.hazmat.primitives.serialization import load_der_private_key
from josepy.jwk import JWK, JWKEC

from issuer.ca import problems
from issuer.ca.transport import Answer, Refusal, Signer, unusable
from issuer.keys import KeyType, Vault, new_key
from issuer.ports import CaAccount, CaAccounts, Clock
from issuer.problem import Problem, ProblemType

LOCK_SECONDS = 60
NEW_KEY_AFTER_SECONDS = 3600
"""A deactivated account is replaced, but not one that was made within this time: something else is wrong then."""
FOUND = 200
"""The status of an answer about an account that was there already; 201 is that of a new one (§7.3, §7.3.1)."""
GONE = frozenset({"deactivated", "revoked"})
ACCOUNT_TROUBLE = frozenset({"accountDoesNotExist", "unauthorized"})

log = structlog.get_logger(__name__)
Post = Callable[[str, bytes, Signer], Answer]


class AccountKeeper:
    """Finds, makes and mends the account, and says who signs."""

    def __init__(
        self, directory_url: str, accounts: CaAccounts, *, vault: Vault, clock: Clock, post: Post, contact: str
    ) -> None:
        self._directory_url = directory_url
        self._accounts = accounts
        self._vault = vault
        self._clock = clock
        self._post = post
        self._contact = contact
        self._in_use: tuple[CaAccount, Signer] | None = None
        self._thread_lock = threading.Lock()

    def signer(self) -> Signer:
        """Who signs, registered if need be. Raises Problem."""
        with self._thread_lock:
            if self._in_use is None:
                stored = self._accounts.ca_account(self._directory_url)
                self._use(stored if stored and stored.url else self._register(stored))
            assert self._in_use
            return self._in_use[1]

    def with_account(self, request: Callable[[Signer], Answer]) -> Answer:
        """Run a signed request; once more where the CA no longer knew the account and it could be mended."""
        signer = self.signer()
        try:
            return request(signer)
        except Refusal as refusal:
            if refusal.type not in ACCOUNT_TROUBLE or not self._mended(signer):
                raise problems.from_refusal(refusal, self._clock()) from None
        try:
            return request(self.signer())
        except Refusal as refusal:
            raise problems.from_refusal(refusal, self._clock()) from None

    def _mended(self, signer: Signer) -> bool:
        """After a refusal that may be the account's: True when there is another account or URL to try with."""
        with self._thread_lock:
            stored = self._accounts.ca_account(self._directory_url)
            if stored is None or stored.url in {None, signer.url}:
                stored = self._register(stored)
            self._use(stored)
            return stored.url != signer.url

    def _use(self, account: CaAccount) -> None:
        if self._in_use is None or self._in_use[0] != account:
            self._in_use = account, Signer(self._key(account), account.url)

    def _register(self, seen: CaAccount | None) -> CaAccount:
        """Ask the CA for the account of our key: made if it is not there, found if it is (§7.3.1). Not if another
        worker has just done it: then the stored account is no longer the one `seen`."""
        with self._registering():
            stored = self._accounts.ca_account(self._directory_url)
            if stored and stored.url and stored != seen:
                return stored
            if stored is None:
                stored = self._keep(self._fresh(), instead_of=None)
            try:
                url = self._url_at_ca(stored)
            except Refusal as refusal:
                raise problems.from_refusal(refusal, self._clock()) from None
            if url is None:
                stored = self._replaced(stored)
                url = self._url_at_ca(stored)
            return self._keep(replace(stored, url=url), instead_of=stored)

    @contextmanager
    def _registering(self) -> Iterator[None]:
        if not self._accounts.lock_ca_account(self._directory_url, seconds=LOCK_SECONDS):
            raise Problem(ProblemType.BUSY, "another worker is registering at the CA")
        try:
            yield
        finally:
            self._accounts.unlock_ca_account(self._directory_url)

    def _url_at_ca(self, account: CaAccount) -> str | None:
        """The URL of the account with this key, or None when the CA says that it has been deactivated (§7.3.6)."""
        wanted: dict[str, object] = {"termsOfServiceAgreed": True}
        if self._contact:
            wanted["contact"] = [f"mailto:{self._contact}"]
        try:
            answer = self._post("newAccount", json.dumps(wanted).encode(), Signer(self._key(account)))
        except Refusal as refusal:
            if refusal.type == "unauthorized":
                return None
            raise
        # For an account that is there already, the URL is all that an answer has to tell.
        status = answer.json().get("status", "valid" if answer.status == FOUND else None)
        url = answer.headers.get("Location")
        if status in GONE:
            return None
        if status != "valid" or not url:
            raise unusable("its account has no status or no URL")
        return url

    def _replaced(self, account: CaAccount) -> CaAccount:
        log.error("CA account deactivated", directory=self._directory_url, account_url=account.url)
        if self._clock() < account.created_at + NEW_KEY_AFTER_SECONDS:
            raise problems.problem(ProblemType.CA_ACCOUNT, "the CA has deactivated an account that was just made")
        return self._keep(self._fresh(), instead_of=account)

    def _fresh(self) -> CaAccount:
        return CaAccount(self._vault.encrypt(new_key(KeyType.EC_P256)), url=None, created_at=self._clock())

    def _keep(self, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        return self._accounts.keep_ca_account(self._directory_url, account, instead_of=instead_of)

    def _key(self, account: CaAccount) -> JWK:
        return JWKEC(key=load_der_private_key(self._vault.decrypt(account.key), password=None))
