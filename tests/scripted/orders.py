"""Orders, from the first request to the certificate (RFC 8555 §7.4)."""

import json
from itertools import count
from typing import Any

from tests.scripted.answers import Refused, json_answer, malformed
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
        payload = jws.json()
        names, profile = _names(payload.get("identifiers")), payload.get("profile")
        if profile is not None and profile not in self._switches.profiles:
            raise Refused(400, "invalidProfile", f"there is no profile {profile}")
        if profile in self._switches.refused_profiles:
            raise Refused(*self._switches.refused_profiles[profile], f"profile {profile} is not for you")
        order = self._open(account, names, profile) or self._new_order(account, names, profile, payload.get("replaces"))
        return self._answer(order, 201, {"Location": order.url})

    def get(self, account: Account, jws: Jws, number: str) -> Answer:
        order = owned(self.made.get(number), account)
        answer = self._answer(order)
        order.count_request()
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
        return self._after_finalize(self._answer(order, headers={"Location": order.url}))

    def _after_finalize(self, answer: Answer) -> Answer:
        members = self._switches.finalize_members
        if members is None:
            return answer
        status, headers, body = answer
        return status, headers, json.dumps({n: v for n, v in json.loads(body).items() if n in members}).encode()

    def of_account(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.1.2.1."""
        if account.orders_url != f"{self._origin}/orders/{number}":
            raise Refused(403, "unauthorized", "these are another account's")
        return json_answer({"orders": [order.url for order in self.made.values() if order.account is account]})

    def _open(self, account: Account, names: list[str], profile: str | None) -> Order | None:
        if self._switches.reuse_orders:
            for order in self.made.values():
                is_same = (order.account, order.names, order.profile) == (account, names, profile)
                if is_same and order.status in {"pending", "ready"}:
                    return order
        return None

    def _new_order(self, account: Account, names: list[str], profile: str | None, replaces: str | None) -> Order:
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

    def _answer(self, order: Order, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        number = order.url.rpartition("/")[2]
        document: dict[str, Any] = order.document(
            f"{self._origin}/finalize/{number}", f"{self._origin}/certificate/{number}"
        )
        if order.status == "invalid" and self._switches.order_error:
            document["error"] = self._switches.order_error
        elif order.status != "invalid" and self._switches.order_note:
            document["error"] = self._switches.order_note
        return json_answer(document, status, (headers or {}) | self._switches.while_unfinished(order.status))


def _names(identifiers: object) -> list[str]:
    if not isinstance(identifiers, list) or not identifiers:
        raise malformed("an order has identifiers")
    for identifier in identifiers:
        if not isinstance(identifier, dict) or identifier.get("type") != "dns":
            raise Refused(400, "unsupportedIdentifier", "only names can be ordered")
        if not isinstance(identifier.get("value"), str) or identifier["value"].startswith("*"):
            raise Refused(400, "rejectedIdentifier", "http-01 cannot validate wildcards")
    return sorted({identifier["value"].lower() for identifier in identifiers})
