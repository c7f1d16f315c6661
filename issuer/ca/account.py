"""Our account at a CA: one per directory URL, for all workers and for good (RFC 8555 §7.3).

The key is saved before it is sent to the CA, and the first writer wins: after an interruption at any point, the account
is found again by its key. A new key is created only if the CA says that the account is deactivated, which is final, or
if the operator rolls the key over. Every signed request looks up the current key first.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from cryptography.hazmat.primitives.serialization import load_der_private_key
from josepy.json_util import encode_b64jose
from josepy.jwk import JWK, JWKEC

from issuer.ca import meanings, problems
from issuer.ca.signing import Signer, binding, jws
from issuer.ca.transport import Answer, Refusal, unusable
from issuer.keys import KeyType, Vault, new_key
from issuer.ports import CaAccount, CaAccounts, CaPolicy, Clock, KnownAccount
from issuer.problem import Problem, ProblemType

LOCK_SECONDS = 60
NEW_KEY_AFTER_SECONDS = 3600
"""A deactivated account is replaced only if it is older than this; for a younger one something else is wrong."""
EXISTING_ACCOUNT = 200
"""The HTTP status for an account that exists already; a new one gets 201 (§7.3, §7.3.1)."""
ENDED_STATES = frozenset({"deactivated", "revoked"})
ACCOUNT_ERRORS = frozenset({"accountDoesNotExist", "unauthorized"})
KEY_REFUSALS = frozenset({400, 401, 403})
"""The HTTP statuses by which CAs refuse, among other things, a signature by a key that is not the account's. The error
type says little: it is `malformed`, `unauthorized`, or a sentence (acme2certifier)."""
NO_ACCOUNT_REFUSALS = KEY_REFUSALS | {404}

log = structlog.get_logger(__name__)
Post = Callable[[str, bytes, Signer], Answer]
Resource = Callable[[str], str]


class AccountKeeper:
    """Finds, creates and replaces the account, and provides its signer."""

    def __init__(
        self,
        directory_url: str,
        accounts: CaAccounts,
        *,
        policy: CaPolicy,
        vault: Vault,
        clock: Clock,
        post: Post,
        resource: Resource,
        contact: str = "",
        terms: Callable[[], str | None],
        terms_agreed: bool = False,
    ) -> None:
        self._directory_url = directory_url
        self._accounts = accounts
        self._policy = policy
        self._vault = vault
        self._clock = clock
        self._post = post
        self._resource = resource
        self._contact = contact
        self._terms = terms
        self._terms_agreed = terms_agreed
        self._in_use: tuple[CaAccount, Signer] | None = None
        self._thread_lock = threading.Lock()

    def signer(self) -> Signer:
        """The signer for our account, which is registered first if necessary. Raises Problem."""
        stored = self._accounts.ca_account(self._directory_url)
        with self._thread_lock:
            return self._use(stored if stored and stored.url else self._register(stored))

    def known(self) -> KnownAccount | None:
        """The stored account, without asking the CA, and whether its key can be decrypted or not."""
        stored = self._accounts.ca_account(self._directory_url)
        if stored is None:
            return None
        try:
            key_thumbprint = thumbprint(self._key(stored.key))
        except Problem:
            key_thumbprint = None
        return KnownAccount(stored.url, key_thumbprint, stored.created_at, is_rolling_over=stored.next_key is not None)

    def start_over(self) -> None:
        """See `ports.CertificateAuthority`. It is saved without a URL, and so registered when it is first needed."""
        with self._registering():
            self._accounts.remove_ca_account(self._directory_url)
            self._keep(self._new_account(), instead_of=None)

    def roll_over(self) -> None:
        """See `ports.CertificateAuthority`. The next key is saved before it is sent to the CA, and an interrupted run
        resumes where it stopped."""
        self.signer()
        with self._registering():
            stored = self._accounts.ca_account(self._directory_url)
            assert stored
            if stored.next_key is None:
                stored = self._keep(replace(stored, next_key=self._new_key()), instead_of=stored)
            with self._asking_for_account():
                if not self._is_rolled_over(stored):
                    self._change_key(stored)
            self._finish_roll_over(stored)

    def signed(self, request: Callable[[Signer], Answer]) -> Answer:
        """Run a signed request; repeat it once if the account has a new key by now. Raises Refusal, Problem."""
        signer = self.signer()
        try:
            return request(signer)
        except Refusal as refusal:
            if refusal.answer.status not in KEY_REFUSALS or not self._has_new_signer(signer):
                raise
        return request(self.signer())

    def with_account(self, resource: meanings.Resource, request: Callable[[Signer], Answer]) -> Answer:
        """Run a signed request to a resource; repeat it once if the CA no longer knew the account and it was registered
        again. Raises Problem."""
        url = self.signer().url
        try:
            return self.signed(request)
        except Refusal as refusal:
            if refusal.type not in ACCOUNT_ERRORS or not self.is_registered_again(url):
                raise problems.from_refusal(refusal, self._clock(), resource) from None
        try:
            return request(self.signer())
        except Refusal as refusal:
            raise problems.from_refusal(refusal, self._clock(), resource) from None

    def _has_new_signer(self, signer: Signer) -> bool:
        """Whether the signer has changed: by another process, or by a roll-over that was cut off. Raises
        Problem if the CA does not say which key it knows: the old one must not be registered again then."""
        stored = self._accounts.ca_account(self._directory_url)
        if stored and stored.next_key:
            with self._registering(), self._asking_for_account():
                stored = self._accounts.ca_account(self._directory_url)
                if stored and stored.next_key and self._is_rolled_over(stored):
                    self._finish_roll_over(stored)
        return self.signer() != signer

    def is_registered_again(self, url: str | None) -> bool:
        """Ask the CA for the account, unless another worker has done so. True if its URL is no longer `url`."""
        stored = self._accounts.ca_account(self._directory_url)
        with self._thread_lock:
            if stored is None or stored.url in {None, url}:
                stored = self._register(stored)
            return stored.url != url

    def _use(self, account: CaAccount) -> Signer:
        if self._in_use is None or self._in_use[0] != account:
            self._in_use = account, Signer(self._key(account.key), account.url)
        return self._in_use[1]

    def _register(self, known: CaAccount | None) -> CaAccount:
        """Ask the CA for the account of our key; the CA creates it if it does not exist (§7.3.1). If the stored account
        is no longer `known`, another worker has just registered it, and the CA is not asked."""
        with self._registering():
            stored = self._accounts.ca_account(self._directory_url)
            if stored and stored.url and stored != known:
                return stored
            with self._asking_for_account(is_bound=bool(self._policy.eab_key_id)):
                if stored is None or stored.url is None:
                    self._require_agreement(stored)
                if stored is None:
                    stored = self._keep(self._new_account(), instead_of=None)
                url = self._url_at_ca(stored)
                if url is None:
                    stored = self._replace(stored)
                    url = self._url_at_ca(stored)
                if url is None:
                    cause = f"the CA {self._directory_url} says of a new account that it is deactivated"
                    raise Problem(ProblemType.CA_ACCOUNT, cause=cause, hint=meanings.ACCOUNT)
            return self._keep(replace(stored, url=url), instead_of=stored)

    def _require_agreement(self, stored: CaAccount | None) -> None:
        """Raise Problem where a new account would accept terms that the operator has not agreed to (§7.3). One that the
        CA has already, as its registration was cut off before its URL was saved, counts as agreed."""
        terms = None if self._terms_agreed else self._terms()
        if terms and (stored is None or self._find(stored.key) is None):
            cause = f"the CA {self._directory_url} requires consent to its terms of service for a new account"
            hint = "the operator must read these terms, and then set ISSUER_ACME_TERMS_AGREED=true"
            raise Problem(ProblemType.CA_SETTINGS, terms, cause=f"{cause}: {terms}", hint=hint)

    @contextmanager
    def _registering(self) -> Iterator[None]:
        lock = self._accounts.lock_ca_account(self._directory_url, seconds=LOCK_SECONDS)
        if lock is None:
            raise Problem(ProblemType.BUSY, "another worker is registering or changing our account at the CA")
        try:
            yield
        finally:
            self._accounts.unlock_ca_account(self._directory_url, lock)

    @contextmanager
    def _asking_for_account(self, *, is_bound: bool = False) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            raise problems.of_account(refusal, self._clock(), is_bound=is_bound) from None

    def _url_at_ca(self, account: CaAccount) -> str | None:
        """The URL of the account with this key, or None if the CA says that it is deactivated (§7.3.6)."""
        key = self._key(account.key)
        payload: dict[str, object] = {"termsOfServiceAgreed": True} | self._binding(key)
        if self._contact:
            payload["contact"] = [f"mailto:{self._contact}"]
        try:
            answer = self._post("newAccount", json.dumps(payload).encode(), Signer(key))
        except Refusal as refusal:
            if refusal.type == "unauthorized" and self._is_deactivated(key):
                return None
            raise
        # The answer about an existing account may contain nothing but its URL.
        status = answer.json().get("status", "valid" if answer.status == EXISTING_ACCOUNT else None)
        url = answer.location
        if isinstance(status, str) and status in ENDED_STATES:
            return None
        if status != "valid" or not url:
            raise unusable("the CA's account has no status or no URL")
        return url

    def _replace(self, account: CaAccount) -> CaAccount:
        log.error("CA account deactivated", directory=self._directory_url, account_url=account.url)
        if self._clock() < account.created_at + NEW_KEY_AFTER_SECONDS:
            raise Problem(
                ProblemType.CA_ACCOUNT,
                f"{account.url or 'the account'}: the CA has deactivated an account that was just created",
                cause=f"our account at the CA {self._directory_url} is deactivated",
                hint=f"the operator must ask the CA why; {meanings.new_account(self._directory_url)}",
            )
        return self._keep(self._new_account(), instead_of=account)

    def _binding(self, key: JWK) -> dict[str, object]:
        key_id, hmac_key = self._policy.eab_key_id, self._policy.eab_hmac_key
        return binding(key, key_id, hmac_key, self._resource("newAccount")) if key_id else {}

    def _is_deactivated(self, key: JWK) -> bool:
        """Whether «unauthorized» is about the account itself, and not about a binding or the right to create one."""
        try:
            self._look_up(key)
        except Refusal as refusal:
            return refusal.type == "unauthorized"
        return False

    def _is_rolled_over(self, account: CaAccount) -> bool:
        """Whether the CA already knows the account by its next key."""
        return account.next_key is not None and self._find(account.next_key) == account.url

    def _find(self, key: str) -> str | None:
        """The URL of the CA's account for a stored key; None if it has no such account."""
        try:
            return self._look_up(self._key(key))
        except Refusal as refusal:
            if refusal.answer.status in NO_ACCOUNT_REFUSALS:
                return None
            raise

    def _look_up(self, key: JWK) -> str:
        """The URL of the CA's account for a key; empty if the CA does not say it (§7.3.1)."""
        return self._post("newAccount", b'{"onlyReturnExisting": true}', Signer(key)).location

    def _change_key(self, account: CaAccount) -> None:
        """Both keys sign: the next key proves that we have it, the old key allows the change (§7.3.5). A CA that has
        changed the key may have failed to say so, and refuses the repeated request."""
        assert account.next_key
        old, new = self._key(account.key), self._key(account.next_key)
        change = {"account": account.url, "oldKey": old.public_key().to_partial_json()}
        inner = jws(json.dumps(change).encode(), Signer(new), url=self._resource("keyChange"))
        try:
            self._post("keyChange", inner, Signer(old, account.url)).require_no_page()
        except Refusal:
            if not self._is_rolled_over(account):
                raise

    def _finish_roll_over(self, account: CaAccount) -> None:
        assert account.next_key
        self._keep(replace(account, key=account.next_key, next_key=None), instead_of=account)
        log.info("CA account key rolled over", directory=self._directory_url, account_url=account.url)

    def _new_account(self) -> CaAccount:
        return CaAccount(self._new_key(), url=None, created_at=self._clock())

    def _new_key(self) -> str:
        return self._vault.encrypt(new_key(KeyType.EC_P256))

    def _keep(self, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        return self._accounts.keep_ca_account(self._directory_url, account, instead_of=instead_of)

    def _key(self, encrypted: str) -> JWK:
        der = self._vault.decrypt(encrypted, f"the key of our account at {self._directory_url}")
        return JWKEC(key=load_der_private_key(der, password=None))


def thumbprint(key: JWK) -> str:
    """The thumbprint of a key, which is also part of every key authorization (RFC 7638, RFC 8555 §8.1)."""
    return encode_b64jose(key.thumbprint())
