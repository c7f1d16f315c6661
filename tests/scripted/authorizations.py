"""Authorizations and their one challenge, http-01, which is really validated (RFC 8555 §7.5, §8.3)."""

import secrets
import threading
import time
from itertools import count
from typing import Any

import urllib3
from josepy.json_util import encode_b64jose

from tests.scripted.answers import Refused, json_answer, malformed, problem
from tests.scripted.records import Account, Authorization, Challenge, owned
from tests.scripted.signed import Jws, thumbprint
from tests.scripted.switches import Switches
from tests.wire import Answer


class Authorizations:
    """web: the address and port where every name is served. fetches: of challenges, the token and the HTTP status of
    each, 0 for no answer."""

    def __init__(self, switches: Switches, origin: str, web: tuple[str, int], lock: threading.RLock) -> None:
        self.made: dict[str, Authorization] = {}
        self.fetches: list[tuple[str, int]] = []
        self._switches, self._origin, self._web, self._lock = switches, origin, web, lock
        self._numbers = count(1)
        self._validating: list[threading.Thread] = []

    def go_on(self) -> None:
        """Let validations that `may_validate` holds go on, and wait until they are over, as no test's clock does."""
        self._switches.may_validate.set()
        for validating in self._validating:
            validating.join(30)

    def for_order(self, account: Account, name: str) -> Authorization:
        """A new one, or a valid one if `reuse_authorizations` is set."""
        if self._switches.reuse_authorizations:
            for known in self.made.values():
                if (known.account, known.name, known.status) == (account, name, "valid"):
                    return known
        number, state = str(next(self._numbers)), self._switches.authorization_status
        token = self._switches.tokens() if self._switches.tokens else encode_b64jose(secrets.token_bytes(32))
        challenge = Challenge(f"{self._origin}/challenge/{number}", token)
        made = Authorization(f"{self._origin}/authorization/{number}", account, name, challenge, state)
        if state in {"valid", "invalid"}:
            made.end(state, self._switches.authorization_error)
        self.made[number] = made
        return made

    def get(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.5; or the client deactivates it (§7.5.2)."""
        authorization = owned(self.made.get(number), account)
        if jws.payload and jws.json().get("status") == "deactivated":
            authorization.status = "deactivated"
        document, status = authorization.document(), authorization.status
        if status == "pending":
            document["status"] = self._switches.unfinished_word
        if self._switches.hides_processing and authorization.challenge.status == "processing":
            document["challenges"][0]["status"] = "pending"
        return json_answer(document, headers=self._switches.while_unfinished(status))

    def challenge(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.5.1: the client is ready; or a POST-as-GET."""
        authorization = owned(self.made.get(number), account)
        if jws.payload:
            if (jws.json(), authorization.status) != ({}, "pending"):
                raise malformed(f"the authorization is {authorization.status}, and an answer to its challenge is {{}}")
            challenge = authorization.challenge
            if self._switches.hides_processing and challenge.status == "processing":
                raise Refused(409, "conflict", "the challenge is being validated")
            if self._switches.takes_answers and (challenge.status == "pending" or challenge.error):
                challenge.status, challenge.error = "processing", None
                self._validating.append(threading.Thread(target=self._validate, args=(authorization,), daemon=True))
                self._validating[-1].start()
        return json_answer(authorization.challenge.document(), headers={"Link": f'<{authorization.url}>;rel="up"'})

    def _validate(self, authorization: Authorization) -> None:
        self._switches.may_validate.wait(60)
        times, error = self._switches.validations, self._switches.authorization_error
        for turn in range(times):
            if turn:
                time.sleep(self._switches.validation_pause / (times - 1))
            error = error or self._fetch_problem(authorization)
        with self._lock:
            if error and self._switches.soft_failure:
                authorization.challenge.status, authorization.challenge.error = self._switches.soft_failure, error
            elif authorization.status == "pending":
                authorization.end("invalid" if error else "valid", error)

    def _fetch_problem(self, authorization: Authorization) -> dict[str, Any] | None:
        """Fetch the challenge response; the problem with it, or None."""
        token = authorization.challenge.token
        address, port = self._web
        url = f"http://{address}:{port}/.well-known/acme-challenge/{token}"
        try:
            answer = urllib3.request("GET", url, headers={"Host": authorization.name}, retries=False, timeout=5)
        except urllib3.exceptions.HTTPError as error:
            self.fetches.append((token, 0))
            return problem("connection", f"no answer from {url} ({type(error).__name__})")
        self.fetches.append((token, answer.status))
        if answer.status != 200:
            return problem("unauthorized", f"{url} answered {answer.status}")
        if answer.data.rstrip() != f"{token}.{thumbprint(authorization.account.key)}".encode():
            return problem("unauthorized", f"{url} does not have the key authorization of this account")
        return None
