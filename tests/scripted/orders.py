"""Orders, from the first request to the certificate (RFC 8555 §7.4)."""

from itertools import count
from typing import Any

from tests.scripted.answers import Refused, malformed, said
from tests.scripted.authorizations import Authorizations
from tests.scripted.certificates import Certificates
from tests.scripted.records import Account, Order, owned
from tests.scripted.signed import Jws
from tests.scripted.switches import Switches
from tests.wire import Answer


class Orders:
    def __init__(
        self, switches: Switches, origin: str, authorizations: Authorizations, certificates: Certificates
    ) -> None:
        self.made: dict[str, Order] = {}
        self._switches, self._origin = switches, origin
        self._authorizations, self._certificates = authorizations, certificates
        self._numbers = count(1)

    def new(self, account: Account, jws: Jws, _: str) -> Answer:
        if self._switches.terms_changed:
            terms = f"{self._origin}/terms"
            link = {"Link": f'<{terms}>;rel="terms-of-service"'}
            raise Refused(403, "userActionRequired", "the terms have changed", link, instance=f"{terms}/agree")
        wanted = jws.json()
        names, profile = _names(wanted.get("identifiers")), wanted.get("profile")
        if profile is not None and profile not in self._switches.profiles:
            raise Refused(400, "invalidProfile", f"there is no profile {profile}")
        order = self._open(account, names, profile) or self._made(account, names, profile, wanted.get("replaces"))
        return self._said(order, 201, {"Location": order.url})

    def look(self, account: Account, jws: Jws, number: str) -> Answer:
        order = owned(self.made.get(number), account)
        answer = self._said(order)
        order.looked_at()
        return answer

    def finalize(self, account: Account, jws: Jws, number: str) -> Answer:
        order = owned(self.made.get(number), account)
        if order.status != "ready":
            raise Refused(403, "orderNotReady", f"the order is {order.status}")
        csr = self._certificates.csr(jws.json().get("csr"), order)
        order.is_finalized = True
        if self._switches.order_error is None:
            self._certificates.issue(number, order, csr)
        else:
            order.is_failed = True
        return self._said(order, headers={"Location": order.url})

    def of_account(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.1.2.1."""
        if account.orders_url != f"{self._origin}/orders/{number}":
            raise Refused(403, "unauthorized", "these are another account's")
        return said({"orders": [one.url for one in self.made.values() if one.account is account]})

    def _open(self, account: Account, names: list[str], profile: str | None) -> Order | None:
        if self._switches.reuse_orders:
            for one in self.made.values():
                is_same = (one.account, one.names, one.profile) == (account, names, profile)
                if is_same and one.status in {"pending", "ready"}:
                    return one
        return None

    def _made(self, account: Account, names: list[str], profile: str | None, replaces: str | None) -> Order:
        number = str(next(self._numbers))
        order = Order(
            url=f"{self._origin}/order/{number}",
            account=account,
            names=names,
            authorizations=[self._authorizations.for_order(account, name) for name in names],
            until_ready=self._switches.looks_until_ready,
            until_valid=self._switches.looks_until_valid,
            until_certificate=self._switches.looks_until_certificate,
            profile=profile,
        )
        if replaces is not None and self._switches.renewal_window:
            self._certificates.mark_replaced(replaces, order)
            order.replaces = replaces
        self.made[number] = order
        return order

    def _said(self, order: Order, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        number = order.url.rpartition("/")[2]
        document: dict[str, Any] = order.document(
            f"{self._origin}/finalize/{number}", f"{self._origin}/certificate/{number}"
        )
        if order.status == "invalid" and self._switches.order_error:
            document["error"] = self._switches.order_error
        return said(document, status, (headers or {}) | self._switches.while_unfinished(order.status))


def _names(identifiers: object) -> list[str]:
    if not isinstance(identifiers, list) or not identifiers:
        raise malformed("an order has identifiers")
    for one in identifiers:
        if not isinstance(one, dict) or one.get("type") != "dns":
            raise Refused(400, "unsupportedIdentifier", "only names can be ordered")
        if not isinstance(one.get("value"), str) or one["value"].startswith("*"):
            raise Refused(400, "rejectedIdentifier", "http-01 proves no wildcard")
    return sorted({one["value"].lower() for one in identifiers})
