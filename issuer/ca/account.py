"""Our account at a CA: one per directory URL, for all workers and for good (RFC 8555 §7.3).

Its key is saved before the CA hears of it, first writer wins: whatever is cut off in between, the account is found
again by its key. A new key is made only where the CA says that the account has been deactivated, which is final, or
where the operator rolls the key over; whoever signs looks up which key that is each time.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import structlog
from acme import jws, messages
from cryptography.hazmat.primitives.serialization import load_der_private_key
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from issuer.ca import problems
from issuer.ca.transport import Answer, Refusal, Signer, unusable
from issuer.keys import KeyType, Vault, new_key
from issuer.ports import CaAccount, CaAccounts, CaPolicy, Clock, KnownAccount
from issuer.problem import Problem, ProblemType

LOCK_SECONDS = 60
NEW_KEY_AFTER_SECONDS = 3600
"""A deactivated account is replaced, but not one that was made within this time: something else is wrong then."""
FOUND = 200
"""The status of an answer about an account that was there already; 201 is that of a new one (§7.3, §7.3.1)."""
GONE = frozenset({"deactivated", "revoked"})
NO_ACCOUNT = "accountDoesNotExist"
ACCOUNT_TROUBLE = frozenset({NO_ACCOUNT, "unauthorized"})
KEY_TROUBLE = ACCOUNT_TROUBLE | {"malformed"}
"""What CAs call a signature by another key than the account's, among other things."""

log = structlog.get_logger(__name__)
Post = Callable[[str, bytes, Signer], Answer]
Resource = Callable[[str], str]


class AccountKeeper:
    """Finds, makes and mends the account, and says who signs."""

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
        contact: str,
        terms: Callable[[], str | None],
        terms_agreed: bool,
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
        """Who signs, registered if need be. Raises Problem."""
        stored = self._accounts.ca_account(self._directory_url)
        with self._thread_lock:
            return self._use(stored if stored and stored.url else self._register(stored))

    def known(self) -> KnownAccount | None:
        """What is stored of the account."""
        stored = self._accounts.ca_account(self._directory_url)
        if stored is None:
            return None
        shown = thumbprint(self._key(stored.key))
        return KnownAccount(stored.url, shown, stored.created_at, is_rolling_over=stored.next_key is not None)

    def roll_over(self) -> None:
        """See `ports.CertificateAuthority`. The next key is saved before the CA hears of it, and a run that was cut off
        is taken up where it was."""
        self.signer()
        with self._registering():
            stored = self._accounts.ca_account(self._directory_url)
            assert stored
            if stored.next_key is None:
                stored = self._keep(replace(stored, next_key=self._new_key()), instead_of=stored)
            try:
                if not self._is_rolled_over(stored):
                    self._change_key(stored)
            except Refusal as refusal:
                raise problems.of_account(refusal, self._clock()) from None
            self._rolled_over(stored)

    def signed(self, request: Callable[[Signer], Answer]) -> Answer:
        """Run a signed request; once more where the account has another key by now. Raises Refusal, Problem."""
        signer = self.signer()
        try:
            return request(signer)
        except Refusal as refusal:
            if refusal.type not in KEY_TROUBLE or not self._has_changed(signer):
                raise
        return request(self.signer())

    def with_account(self, request: Callable[[Signer], Answer]) -> Answer:
        """Run a signed request; once more where the CA no longer knew the account and it could be mended."""
        url = self.signer().url
        try:
            return self.signed(request)
        except Refusal as refusal:
            if refusal.type not in ACCOUNT_TROUBLE or not self._is_registered_anew(url):
                raise problems.from_refusal(refusal, self._clock()) from None
        try:
            return request(self.signer())
        except Refusal as refusal:
            raise problems.from_refusal(refusal, self._clock()) from None

    def _has_changed(self, signer: Signer) -> bool:
        """Whether another one signs by now: after a roll-over elsewhere, or one that was cut off once the CA had done
        it."""
        stored = self._accounts.ca_account(self._directory_url)
        if stored and stored.next_key:
            with self._registering(), suppress(Refusal):
                stored = self._accounts.ca_account(self._directory_url)
                if stored and stored.next_key and self._is_rolled_over(stored):
                    self._rolled_over(stored)
        return self.signer() != signer

    def _is_registered_anew(self, url: str | None) -> bool:
        """Ask the CA for the account, unless another worker has: True when its URL is not the one it was."""
        stored = self._accounts.ca_account(self._directory_url)
        with self._thread_lock:
            if stored is None or stored.url in {None, url}:
                stored = self._register(stored)
            return stored.url != url

    def _use(self, account: CaAccount) -> Signer:
        if self._in_use is None or self._in_use[0] != account:
            self._in_use = account, Signer(self._key(account.key), account.url)
        return self._in_use[1]

    def _register(self, seen: CaAccount | None) -> CaAccount:
        """Ask the CA for the account of our key: made if it is not there, found if it is (§7.3.1). Not if another
        worker has just done it: then the stored account is no longer the one `seen`."""
        with self._registering():
            stored = self._accounts.ca_account(self._directory_url)
            if stored and stored.url and stored != seen:
                return stored
            if stored is None:
                self._require_agreement()
                stored = self._keep(self._fresh(), instead_of=None)
            try:
                url = self._url_at_ca(stored)
                if url is None:
                    stored = self._replaced(stored)
                    url = self._url_at_ca(stored)
                if url is None:
                    raise Problem(ProblemType.CA_ACCOUNT, "the CA refuses a new account", hint=problems.ACCOUNT)
            except Refusal as refusal:
                is_bound = bool(self._policy.eab_key_id)
                raise problems.of_account(refusal, self._clock(), is_bound=is_bound) from None
            return self._keep(replace(stored, url=url), instead_of=stored)

    def _require_agreement(self) -> None:
        """Raise Problem where a first account would accept terms that the operator has not agreed to (§7.3)."""
        terms = None if self._terms_agreed else self._terms()
        if terms:
            raise Problem(
                ProblemType.CA_ACCOUNT,
                f"{self._directory_url} requires consent to its terms of service before it creates an account: {terms}",
                hint="the operator must read these terms, and then set ISSUER_ACME_TERMS_AGREED=true",
            )

    @contextmanager
    def _registering(self) -> Iterator[None]:
        lock = self._accounts.lock_ca_account(self._directory_url, seconds=LOCK_SECONDS)
        if lock is None:
            raise Problem(ProblemType.BUSY, "another worker is at our account at the CA")
        try:
            yield
        finally:
            self._accounts.unlock_ca_account(self._directory_url, lock)

    def _url_at_ca(self, account: CaAccount) -> str | None:
        """The URL of the account with this key, or None when the CA says that it has been deactivated (§7.3.6)."""
        key = self._key(account.key)
        wanted: dict[str, object] = {"termsOfServiceAgreed": True} | self._binding(key)
        if self._contact:
            wanted["contact"] = [f"mailto:{self._contact}"]
        try:
            answer = self._post("newAccount", json.dumps(wanted).encode(), Signer(key))
        except Refusal as refusal:
            if refusal.type == "unauthorized" and self._is_deactivated(key):
                return None
            raise
        # For an account that is there already, the URL is all that an answer has to tell.
        status = answer.json().get("status", "valid" if answer.status == FOUND else None)
        url = answer.headers.get("Location")
        if isinstance(status, str) and status in GONE:
            return None
        if status != "valid" or not url:
            raise unusable("its account has no status or no URL")
        return url

    def _replaced(self, account: CaAccount) -> CaAccount:
        log.error("CA account deactivated", directory=self._directory_url, account_url=account.url)
        if self._clock() < account.created_at + NEW_KEY_AFTER_SECONDS:
            raise Problem(ProblemType.CA_ACCOUNT, "the CA has deactivated an account that was just made")
        return self._keep(self._fresh(), instead_of=account)

    def _binding(self, key: JWK) -> dict[str, object]:
        """What binds a new account to one that the operator has with the CA otherwise (§7.3.4)."""
        if not self._policy.eab_key_id:
            return {}
        hmac_key = self._policy.eab_hmac_key.rstrip("=")
        directory = messages.Directory({"newAccount": self._resource("newAccount")})
        binding = messages.ExternalAccountBinding.from_data(
            key.public_key(), self._policy.eab_key_id, hmac_key, directory
        )
        return {"externalAccountBinding": binding}

    def _is_deactivated(self, key: JWK) -> bool:
        """Whether «unauthorized» is said of the account, and not of a binding or of who asks for a new one."""
        try:
            self._look_up(key)
        except Refusal as refusal:
            return refusal.type == "unauthorized"
        return False

    def _is_rolled_over(self, account: CaAccount) -> bool:
        """Whether the CA knows the account by its next key already."""
        assert account.next_key
        try:
            return self._look_up(self._key(account.next_key)) == account.url
        except Refusal as refusal:
            if refusal.type == NO_ACCOUNT:
                return False
            raise

    def _look_up(self, key: JWK) -> str | None:
        """The URL of the account that the CA has for a key, if it has one (§7.3.1)."""
        return self._post("newAccount", b'{"onlyReturnExisting": true}', Signer(key)).headers.get("Location")

    def _change_key(self, account: CaAccount) -> None:
        """Both keys sign: the next one that it is held, the old one that it may take its place (§7.3.5)."""
        assert account.next_key
        old, new = self._key(account.key), self._key(account.next_key)
        change = {"account": account.url, "oldKey": old.public_key().to_partial_json()}
        url = self._resource("keyChange")
        inner = jws.JWS.sign(json.dumps(change).encode(), key=new, alg=ES256, nonce=None, url=url)
        self._post("keyChange", inner.json_dumps().encode(), Signer(old, account.url))

    def _rolled_over(self, account: CaAccount) -> None:
        assert account.next_key
        self._keep(replace(account, key=account.next_key, next_key=None), instead_of=account)
        log.info("the key of the CA account is a new one", directory=self._directory_url, account_url=account.url)

    def _fresh(self) -> CaAccount:
        return CaAccount(self._new_key(), url=None, created_at=self._clock())

    def _new_key(self) -> str:
        return self._vault.encrypt(new_key(KeyType.EC_P256))

    def _keep(self, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        return self._accounts.keep_ca_account(self._directory_url, account, instead_of=instead_of)

    def _key(self, encrypted: str) -> JWK:
        return JWKEC(key=load_der_private_key(self._vault.decrypt(encrypted), password=None))


def thumbprint(key: JWK) -> str:
    """What a key is known by, also in answers to challenges (RFC 7638, RFC 8555 §8.1)."""
    return encode_b64jose(key.thumbprint())
