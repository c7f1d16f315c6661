"""What a test may change about the scripted CA at any time: its attributes."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

Window = tuple[float, float]


def set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class Switches:
    """By default the CA does what most CAs do; a switch applies to what is created after it was set.

    reuse_orders: the same account gets its pending or ready order again for the same names.
    reuse_authorizations: so is a valid authorization.
    authorization_status: the first state of a new authorization.
    authorization_error: every validation fails for this reason.
    soft_failure: the state of a challenge after a failed validation, with its error, while its authorization stays
    pending (smallstep); empty: both are invalid.
    takes_answers: False: an answer to a challenge changes nothing.
    hides_processing: a challenge that is being validated is shown as pending, and a second answer is a conflict
    (Boulder).
    may_validate: validations wait for it, in real time.
    order_note: an error in an order that is not invalid.
    order_error: the error of an invalid order; every finalized order becomes invalid. {}: it has no error.
    looks_until_ready: how many requests find an order still pending although its authorizations are valid.
    looks_until_valid: how many find it processing after finalize; looks_until_certificate: valid without a certificate.
    retry_after: the header of answers while something is pending or processing.
    validations: how often a challenge is fetched, within validation_pause seconds.
    lifetime, not_before: of certificates; not_before counts from the moment of signing.
    foreign_key, foreign_names: sign a different key, or different names, than requested.
    chain_sent: what it sends in place of a chain (PEM).
    alternates: also offer the chain to the other root (§7.4.2).
    profiles: name and description (draft-ietf-acme-profiles). caa_identities, eab_keys (kid to base64url; an external
    account binding is required with any): as in the directory.
    renewal_window: epoch seconds, or a function of the certificate that returns them (RFC 9773); None: no renewal info.
    terms_changed: no order until somebody has agreed to new terms (§7.3.3).
    stale_nonces: a request with a nonce that came with an answer to a POST fails with a page, as Dogtag does.
    nonces, tokens: return the next one. nonce_header: the header in answers to POSTs, in place of a nonce.
    origin_shown: what stands in its answers in place of the origin: "" or "..", say, makes its URLs relative.
    unfinished_word: the status of a pending authorization, as shown.
    finalize_members: the only members of an answer to finalize.
    wrong_key: status and whole type of the refusal of a request that is signed by another key than the account's.
    refused_profiles: offered, but refused for a new order, with a status and an error type.
    """

    reuse_orders: bool = False
    reuse_authorizations: bool = False
    authorization_status: str = "pending"
    authorization_error: dict[str, Any] | None = None
    soft_failure: str = ""
    takes_answers: bool = True
    hides_processing: bool = False
    may_validate: threading.Event = field(default_factory=set_event)
    order_note: dict[str, Any] | None = None
    order_error: dict[str, Any] | None = None
    looks_until_ready: int = 0
    looks_until_valid: int = 0
    looks_until_certificate: int = 0
    retry_after: str = ""
    validations: int = 1
    validation_pause: float = 0
    lifetime: dt.timedelta = dt.timedelta(days=90)
    not_before: dt.timedelta = dt.timedelta(hours=-1)
    foreign_key: bool = False
    foreign_names: tuple[str, ...] = ()
    chain_sent: Callable[[str], str] = field(default=str)
    alternates: bool = False
    profiles: dict[str, str] = field(default_factory=dict)
    caa_identities: tuple[str, ...] = ()
    eab_keys: dict[str, str] = field(default_factory=dict)
    renewal_window: Callable[[x509.Certificate], Window] | Window | None = None
    terms_changed: bool = False
    stale_nonces: bool = False
    nonces: Callable[[], str] | None = None
    nonce_header: str | None = None
    tokens: Callable[[], str] | None = None
    origin_shown: str | None = None
    unfinished_word: str = "pending"
    finalize_members: tuple[str, ...] | None = None
    refused_profiles: dict[str, tuple[int, str]] = field(default_factory=dict)
    wrong_key: tuple[int, str] | None = None

    def while_unfinished(self, status: str) -> dict[str, str]:
        """Headers of an answer with this status."""
        return {"Retry-After": self.retry_after} if self.retry_after and status in {"pending", "processing"} else {}
