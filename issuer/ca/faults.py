"""Why a CA cannot be used at all: it cannot be reached, or what answers there is not an ACME server.

What the operator has set, such as a wrong directory URL, is a Problem(ca-settings), which names the setting; all else
is a Problem(ca-unavailable) and passes by itself.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import urllib3

from issuer.problem import Actor, Problem, ProblemType

BUNDLE = "ISSUER_ACME_CA_BUNDLE"
MAX_WORDS = 100
"""How many characters of a page are repeated."""
MARKUP = str.maketrans("<>", "  ")
LOOKED_AT = 8192
"""So many bytes of a page are looked through for its words."""
WAIT = "no action is needed: it will be retried automatically"
UNSEEN = re.compile(rb"(?is)<(script|style|head)\b.*?</\1\s*>")
TITLE = re.compile(rb"(?is)<title[^>]*>(.*?)</title")
TAG = re.compile(rb"(?s)<[^>]*>")
EXPIRED, NOT_YET_VALID = 10, 9
SELF_SIGNED = frozenset({18, 19})
WRONG_HOST = frozenset({62, 64})
"""Error codes of OpenSSL's verification (X509_V_ERR_…)."""
NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL})
"""This machine cannot send anything there."""
UNKNOWN_HOST = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True, slots=True)
class Site:
    """The directory URL of a CA, and the setting that has it."""

    directory_url: str
    setting: str = "ISSUER_ACME_DIRECTORY"

    def unreachable(self, error: BaseException, request: str) -> Problem:
        """The Problem of an exception of urllib3. request: method and URL."""
        reasons = list(_reasons(error))
        detail = f"{type(error).__name__} at {request}: {_last_words(reasons)}"
        for reason in reasons:
            match reason:
                case ssl.SSLCertVerificationError():
                    return self._not_verified(reason, detail)
                case ssl.SSLError():
                    return self._no_tls(reason, detail)
                case socket.gaierror():
                    return self._no_address(reason, detail)
                case OSError() if reason.errno in NO_WAY:
                    return self._no_way(reason, detail)
        if any(isinstance(reason, ConnectionRefusedError) for reason in reasons):
            what = "refuses connections (connection refused)"
        elif any(isinstance(reason, TimeoutError | urllib3.exceptions.TimeoutError) for reason in reasons):
            what = "does not answer in time"
        else:
            what = "ends connections without a complete answer"
        return self._down(what, detail)

    def no_directory(self, found: str, detail: str, *, instead: str = "") -> Problem:
        """The Problem of a directory URL with something else than a directory. found: what, as a clause. instead: the
        URL that it may be."""
        cause = f"{self.setting} is {self.directory_url}, and that is not an ACME directory: {found}"
        hint = f"the operator must set {self.setting} to the directory URL of the CA"
        hint += f", perhaps {instead}" if instead else ""
        hint += "; if it is right, the CA itself is at fault, and it will be retried automatically"
        return Problem(ProblemType.CA_SETTINGS, detail, cause=cause, hint=hint)

    def refused(self, status: int, words: str) -> Problem:
        """The Problem of a directory URL that a server refuses with a status such as 404."""
        found = f"{self.setting} is {self.directory_url}, and the server there answers with status {status}"
        hint = f"the operator must correct {self.setting}, or ask the CA why it refuses this machine"
        detail = f"GET {self.directory_url}: status {status}" + (words and f", «{words}»")
        return Problem(ProblemType.CA_SETTINGS, detail, cause=found + (words and f": «{words}»"), hint=hint)

    def _down(self, what: str, detail: str) -> Problem:
        return Problem(ProblemType.CA_UNAVAILABLE, detail, cause=f"the CA {self.directory_url} {what}", hint=WAIT)

    def _no_way(self, reason: OSError, detail: str) -> Problem:
        found = f"this machine cannot connect to the CA {self.directory_url}: {_last_words([reason])}"
        hint = "the operator must look at the network and the firewall of this machine"
        return Problem(ProblemType.CA_UNAVAILABLE, detail, cause=found, hint=hint, actor=Actor.PLATFORM)

    def _no_address(self, reason: socket.gaierror, detail: str) -> Problem:
        found = f"the host name of the CA {self.directory_url} cannot be resolved: {reason.strerror}"
        if reason.errno in UNKNOWN_HOST:
            hint = f"the operator must correct {self.setting}, or the DNS servers of this machine"
            return Problem(ProblemType.CA_SETTINGS, detail, cause=f"{found} ({self.setting})", hint=hint)
        hint = "the operator must look at the DNS servers of this machine (/etc/resolv.conf), if this lasts"
        return Problem(ProblemType.CA_UNAVAILABLE, detail, cause=found, hint=hint, actor=Actor.PLATFORM)

    def _no_tls(self, reason: ssl.SSLError, detail: str) -> Problem:
        if reason.reason not in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}:
            return self._down(f"does not complete the TLS handshake ({_last_words([reason])})", detail)
        found = f"{self.setting} is {self.directory_url}, and the server there does not speak TLS"
        hint = f"the operator must correct host and port of {self.setting}"
        return Problem(ProblemType.CA_SETTINGS, detail, cause=found, hint=hint)

    def _not_verified(self, reason: ssl.SSLCertVerificationError, detail: str) -> Problem:
        verdict = printable(reason.verify_message.rstrip("."))
        found = f"the TLS certificate of the CA {self.directory_url} cannot be verified: certificate verify failed"
        return Problem(
            ProblemType.CA_SETTINGS, detail, cause=f"{found} ({verdict})", hint=self._to_trust(reason.verify_code)
        )

    def _to_trust(self, code: int) -> str:
        if code in {EXPIRED, NOT_YET_VALID}:
            return (
                "the operator must look at the clock of this machine; if it is right, the CA must renew its TLS "
                f"certificate, or {BUNDLE} has an old one"
            )
        if code in WRONG_HOST:
            return f"the operator must correct the host in {self.setting}; {BUNDLE} does not help against that"
        is_private = "a private or test CA needs" if code in SELF_SIGNED else "if it is a private CA, it needs"
        return (
            f"the operator must set {BUNDLE} to a PEM file with the root certificate of the CA's own TLS: {is_private} "
            "that; for a public CA it must not be set"
        )


def first_words(body: bytes, limit: int = MAX_WORDS) -> str:
    """The first words of a page, without its tags, on one printable line; its title, if it has one."""
    body = body[:LOOKED_AT]
    title = TITLE.search(body)
    shown = title[1] if title and title[1].strip() else UNSEEN.sub(b" ", body)
    text = TAG.sub(b" ", shown).decode(errors="replace").translate(MARKUP)
    text = " ".join(text.split())
    return printable(text if len(text) <= limit else f"{text[:limit]}…")


def printable(text: str) -> str:
    """A text with each character that cannot be printed replaced by a space."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that have caused it, the first cause last."""
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _last_words(reasons: list[BaseException]) -> str:
    reason = reasons[-1]
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return printable(text)[:MAX_WORDS] or type(reason).__name__
