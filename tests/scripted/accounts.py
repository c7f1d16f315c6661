"""Accounts: created and found by their key, updated, and rolled over (RFC 8555 §7.3)."""

from itertools import count

from josepy.jwk import JWKEC

from tests.scripted.answers import Refused, json_answer, malformed
from tests.scripted.records import Account
from tests.scripted.signed import Jws, public_key, thumbprint
from tests.scripted.switches import Switches
from tests.wire import Answer


class Accounts:
    def __init__(self, switches: Switches, origin: str) -> None:
        self.made: list[Account] = []
        self._switches, self._origin, self._numbers = switches, origin, count(1)

    def signer(self, jws: Jws) -> Account:
        """The account that signed a request (§6.2), verified."""
        if "jwk" in jws.header or "kid" not in jws.header:
            raise malformed("this request is signed with kid, and not with jwk")
        account = next((account for account in self.made if account.url == jws.header["kid"]), None)
        if account is None:
            raise Refused(400, "accountDoesNotExist", f"there is no account {jws.header['kid']}")
        try:
            jws.require_signature(account.key)
        except Refused:
            if self._switches.wrong_key is None:
                raise
            status, type_ = self._switches.wrong_key
            raise Refused(status, "", "the signature is wrong", type=type_) from None
        self._require_valid(account)
        return account

    def new(self, jws: Jws) -> Answer:
        """§7.3, §7.3.1."""
        key, payload = jws.new_key(), jws.json()
        jws.require_signature(key)
        account = self._by_key(key)
        if account:
            self._require_valid(account)
            return self._answer(account)
        if payload.get("onlyReturnExisting"):
            raise Refused(400, "accountDoesNotExist", "there is no account with this key")
        if payload.get("termsOfServiceAgreed") is not True:
            raise Refused(403, "userActionRequired", "agree to the terms of service")
        if self._switches.eab_keys:
            self._require_binding(payload.get("externalAccountBinding"), key, str(jws.header["url"]))
        number = next(self._numbers)
        url, orders_url = (f"{self._origin}/{resource}/{number}" for resource in ("account", "orders"))
        self.made.append(Account(url, key, _contact(payload), orders_url))
        return self._answer(self.made[-1], 201)

    def change(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.3.2, §7.3.6; or a POST-as-GET."""
        if account.url != f"{self._origin}/account/{number}":
            raise Refused(403, "unauthorized", "this is another account")
        payload = jws.json() if jws.payload else {}
        if "contact" in payload:
            account.contact = _contact(payload)
        if payload.get("status") == "deactivated":
            account.status = "deactivated"
        return self._answer(account)

    def roll_over(self, account: Account, jws: Jws, _: str) -> Answer:
        """§7.3.5."""
        inner = Jws.parsed(jws.payload)
        key, payload = inner.new_key(), inner.json()
        inner.require_signature(key)
        inner.require_url(str(jws.header["url"]))
        if "nonce" in inner.header or payload.get("account") != account.url:
            raise malformed("the inner JWS has a nonce, or names another account than the outer")
        if thumbprint(public_key(payload.get("oldKey"))) != thumbprint(account.key):
            raise malformed("oldKey is not the key of the account")
        if holder := self._by_key(key):
            raise Refused(409, "malformed", "the new key is that of an account", {"Location": holder.url})
        account.key = key
        return self._answer(account)

    def _answer(self, account: Account, status: int = 200) -> Answer:
        return json_answer(account.document(), status, {"Location": account.url})

    def _by_key(self, key: JWKEC) -> Account | None:
        return next((account for account in self.made if thumbprint(account.key) == thumbprint(key)), None)

    def _require_valid(self, account: Account) -> None:
        if account.status != "valid":
            raise Refused(403, "unauthorized", f"the account is {account.status}")

    def _require_binding(self, binding: object, key: JWKEC, url: str) -> None:
        """§7.3.4."""
        if not isinstance(binding, dict):
            raise Refused(403, "externalAccountRequired", "bring an external account binding")
        jws = Jws.parsed(binding)
        mac_key = self._switches.eab_keys.get(str(jws.header.get("kid")))
        if mac_key is None:
            raise Refused(403, "unauthorized", "this key of an external account is not known")
        jws.require_mac(mac_key)
        jws.require_url(url)
        if thumbprint(public_key(jws.json())) != thumbprint(key):
            raise malformed("the external account binding is for another key")


def _contact(payload: dict[str, object]) -> list[str]:
    contact = payload.get("contact") or []
    if not isinstance(contact, list) or not all(str(url).startswith("mailto:") for url in contact):
        raise Refused(400, "unsupportedContact", "write to e-mail addresses only")
    return contact
