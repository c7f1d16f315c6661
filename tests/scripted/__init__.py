"""An ACME CA for tests (RFC 8555, RFC 9773, profiles) that does what real CAs do not do on demand.

It really signs and validates, in threads of this process, over plain HTTP. Tests change it by its `switches`, and add
faults as to a wire. The path of a URL begins with the name of its resource: `/newOrder`, `/order/`, `/authorization/`,
`/challenge/`, `/finalize/`, `/certificate/`, …
"""

import ssl
import threading

from tests.scripted.accounts import Accounts
from tests.scripted.answers import Page, Refused, json_answer, malformed
from tests.scripted.authorizations import Authorizations
from tests.scripted.certificates import Certificates
from tests.scripted.orders import Orders
from tests.scripted.signed import Jws, Nonces
from tests.scripted.switches import Switches
from tests.wire import Answer, Listener, Request

IN_DIRECTORY = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")


class ScriptedCa(Switches, Listener):
    """web: the address and port at which it validates every name. context: for TLS."""

    def __init__(self, web: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        Switches.__init__(self)
        Listener.__init__(self, context)
        self._lock = threading.RLock()
        self._nonces = Nonces(self)
        self._failures: list[Exception] = []
        self.directory_url = f"{self.origin}/directory"
        self.accounts = Accounts(self, self.origin)
        self.authorizations = Authorizations(self, self.origin, web, self._lock)
        self.certificates = Certificates(self, self.origin)
        self.orders = Orders(self, self.origin, self.authorizations, self.certificates)
        self._open = {"directory": self._directory, "newNonce": self._new_nonce, "renewalInfo": self._renewal_info}
        self._signed = {
            "account": self.accounts.change,
            "orders": self.orders.of_account,
            "keyChange": self.accounts.roll_over,
            "newOrder": self.orders.new,
            "order": self.orders.get,
            "finalize": self.orders.finalize,
            "authorization": self.authorizations.get,
            "challenge": self.authorizations.challenge,
            "certificate": self.certificates.chain,
            "revokeCert": self.certificates.revoke,
        }

    def answer(self, request: Request) -> Answer:
        resource, _, which = request.path.removeprefix("/").partition("/")
        with self._lock:
            try:
                status, headers, body = self._dispatch(request, resource, which)
            except (Refused, Page) as refused:
                status, headers, body = refused.answer
            except Exception as error:
                self._failures.append(error)
                raise
            index = f'<{self.directory_url}>;rel="index"'
            headers |= {"Link": ", ".join(link for link in (headers.get("Link"), index) if link)}
            if request.method == "POST" or resource == "newNonce":
                headers |= {"Replay-Nonce": self._nonce(request.method), "Cache-Control": "no-store"}
        return self._shown((status, headers, body))

    def _nonce(self, method: str) -> str:
        if method == "POST" and self.nonce_header is not None:
            return self.nonce_header
        return self._nonces.new(is_stale=method == "POST")

    def _shown(self, answer: Answer) -> Answer:
        """The answer, its URLs as `origin_shown` has them."""
        if self.origin_shown is None:
            return answer
        status, headers, body = answer
        shown = {name: value.replace(self.origin, self.origin_shown) for name, value in headers.items()}
        return status, shown, body.replace(self.origin.encode(), self.origin_shown.encode())

    def close(self) -> None:
        """Raise the CA's own errors, which a client sees only as a closed connection."""
        super().close()
        if self._failures:
            raise ExceptionGroup("the scripted CA failed", self._failures)

    def _dispatch(self, request: Request, resource: str, which: str) -> Answer:
        if resource not in {*self._open, *self._signed, "newAccount"}:
            raise malformed("there is nothing here", 404)
        if (request.method == "POST") is (resource in self._open):
            raise malformed("this is not the method for it", 405)
        if resource in self._open:
            return self._open[resource](request.method, which)
        return self._signed_request(request, resource, which)

    def _signed_request(self, request: Request, resource: str, which: str) -> Answer:
        """RFC 8555 §6.2."""
        if request.headers.get("Content-Type") != "application/jose+json":
            raise malformed("this takes application/jose+json", 415)
        jws = Jws.parsed(request.body)
        self._nonces.use(jws.header.get("nonce"))
        jws.require_url(self.origin + request.path)
        if resource == "newAccount":
            return self.accounts.new(jws)
        if resource == "revokeCert" and "jwk" in jws.header:
            jws.require_signature(jws.new_key())
            return self.certificates.revoke(None, jws, which)
        return self._signed[resource](self.accounts.signer(jws), jws, which)

    def _directory(self, method: str, _: str) -> Answer:
        """RFC 8555 §7.1.1."""
        meta = {
            "termsOfService": f"{self.origin}/terms",
            "caaIdentities": list(self.caa_identities),
            "externalAccountRequired": bool(self.eab_keys),
            "profiles": self.profiles,
        }
        names = (*IN_DIRECTORY, *(["renewalInfo"] if self.renewal_window else []))
        urls = {name: f"{self.origin}/{name}" for name in names}
        return json_answer(urls | {"meta": {name: value for name, value in meta.items() if value}})

    def _new_nonce(self, method: str, _: str) -> Answer:
        return (200 if method == "HEAD" else 204), {}, b""

    def _renewal_info(self, method: str, which: str) -> Answer:
        if self.renewal_window is None:
            raise malformed("there is nothing here", 404)
        return self.certificates.renewal_info(which)
