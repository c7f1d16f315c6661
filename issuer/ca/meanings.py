"""What a CA's error types mean: one table, by type and by where the CA says it (RFC 8555 §6.7).

The same type is about different things in different places: «unauthorized» is about the domain as the error of a
challenge, about our account or the profile as the answer to a new order, and about our account elsewhere.
"""

from enum import StrEnum
from typing import NamedTuple

from issuer.ca.faults import WAIT
from issuer.problem import Actor, ProblemType


class Resource(StrEnum):
    """What a refused request was sent to (§7.1)."""

    DIRECTORY = "directory"
    NEW_ACCOUNT = "newAccount"
    NEW_ORDER = "newOrder"
    ORDER = "order"
    AUTHORIZATION = "authorization"
    CHALLENGE = "challenge"
    FINALIZE = "finalize"
    CERTIFICATE = "certificate"
    REVOKE_CERT = "revokeCert"
    RENEWAL_INFO = "renewalInfo"


class Meaning(NamedTuple):
    """The Problem type of an ACME error type, the hint for whoever must act, and four members of `Problem`. found:
    what the CA has done, in words before its own; by type if not given."""

    type: ProblemType
    hint: str = ""
    is_of_one_order: bool = False
    leaves_ca: bool = False
    actor: Actor | None = None
    found: str = ""
    is_of_http: bool = False


class Row(NamedTuple):
    """What a type means: as the error of a challenge, an authorization or an order; as the answer to a new order; to
    finalize; and to any other request.

    document: None if the type does not decide there: then it is what failed that does. The last column keeps the order,
    whatever the type: what is asked for there exists already.
    """

    document: Meaning | None
    new_order: Meaning
    finalize: Meaning
    other: Meaning


POINTING = (
    "point the domain here alone, by its CNAME, or an apex by its addresses: remove other A and AAAA records, and "
    "require no login on port 80"
)
REACHABLE = "make port 80 reachable from the internet, over IPv6 too if the domain has an AAAA record"
ANSWERING = (
    "make all name servers of the domain answer, also for record types that the domain does not have, and repair DNSSEC"
)
ACCOUNT = "the domain owner does not need to do anything; the operator must check the account at the CA"
ALLOWED = f"{ACCOUNT}, and whether it may use the profile and order for this domain"
ACCOUNT_KEY = "the operator must give the account at the CA another key (issuer ca roll-over)"
BINDING = (
    "the operator must set eab_key_id and eab_hmac_key of this CA in ISSUER_CAS (which replaces ISSUER_ACME_DIRECTORY) "
    "to the values that the CA issued"
)
CONTACT = "the operator must set another ISSUER_ACME_CONTACT"
TERMS = (
    "the operator must agree to the CA's new terms of service where the CA says; ISSUER_ACME_TERMS_AGREED counts for "
    "new accounts alone"
)
PROFILE = "the operator must set a profile that the CA offers"
NAME = "use another name for the site, or ask the operator to set another CA for this domain ('issuer prefer')"
OTHER_NAME = "use another name for the site: no CA issues certificates for this one"
CRAWLED = "use a shorter name in which no label is repeated, or ask the operator to set another CA for this domain"

T = ProblemType
NOT_ALLOWED = Meaning(T.CA_ACCOUNT, ALLOWED, is_of_one_order=True)
BAD_KEY = Meaning(
    T.CA_REFUSED, "the operator may set another ISSUER_KEY_TYPE", found="refuses the key of the certificate"
)
BAD_ACCOUNT_KEY = Meaning(T.CA_ACCOUNT, ACCOUNT_KEY)
BAD_NAME = Meaning(T.CA_REFUSED, NAME)
BAD_PROFILE = Meaning(T.CA_MISUNDERSTOOD, PROFILE)
NOT_ACCEPTED = Meaning(T.CA_MISUNDERSTOOD)
CAA = Meaning(T.CAA, "allow the CA in the domain's CAA records, or remove them")
LIMIT = Meaning(T.RATE_LIMITED, "no action is needed: it will be retried automatically when the CA allows it")
DOWN = Meaning(T.CA_UNAVAILABLE, WAIT)
SLOW = Meaning(T.CA_SLOW, WAIT)
LOST_BY_PROFILE = Meaning(T.ORDER_LOST, PROFILE, leaves_ca=True, actor=Actor.PLATFORM)
UNRESOLVED = Meaning(T.DNS_UNKNOWN, ANSWERING)


def _validation(hint: str) -> Row:
    """A type that says why a validation failed; no other request validates anything."""
    return Row(Meaning(T.VALIDATION_FAILED, hint, is_of_http=True), NOT_ACCEPTED, NOT_ACCEPTED, NOT_ACCEPTED)


def _anywhere(meaning: Meaning) -> Row:
    """A type that is about us or the CA in any answer. As an error it has lost the order, through no fault of the
    domain."""
    return Row(Meaning(T.ORDER_LOST, meaning.hint), meaning, meaning, meaning)


def _ours(hint: str, found: str, type_: ProblemType = T.CA_SETTINGS) -> Row:
    """A type that is about our account in any answer. If it is the answer to a CSR, another CA may take one."""
    row = _anywhere(Meaning(type_, hint, found=found))
    return row._replace(finalize=row.finalize._replace(leaves_ca=True))


TYPES: dict[str, Row] = {
    "accountDoesNotExist": _ours(ACCOUNT, "does not know our account", T.CA_ACCOUNT),
    "alreadyReplaced": _anywhere(NOT_ACCEPTED),
    "alreadyRevoked": _anywhere(NOT_ACCEPTED),
    "badCSR": Row(BAD_KEY, NOT_ACCEPTED, BAD_KEY, NOT_ACCEPTED),
    "badNonce": _anywhere(DOWN),
    "badPublicKey": Row(BAD_KEY, BAD_ACCOUNT_KEY, BAD_KEY, BAD_ACCOUNT_KEY),
    "badRevocationReason": _anywhere(NOT_ACCEPTED),
    "badSignatureAlgorithm": Row(BAD_KEY, BAD_ACCOUNT_KEY, BAD_KEY, BAD_ACCOUNT_KEY),
    "caa": Row(CAA, CAA, CAA, NOT_ACCEPTED),
    "compound": Row(None, NOT_ACCEPTED, NOT_ACCEPTED, NOT_ACCEPTED),
    "conflict": _anywhere(SLOW),
    "connection": _validation(REACHABLE),
    "dns": Row(Meaning(T.VALIDATION_FAILED, ANSWERING), UNRESOLVED, UNRESOLVED, NOT_ACCEPTED),
    "externalAccountRequired": _ours(BINDING, "wants an External Account Binding"),
    "incorrectResponse": _validation(POINTING),
    "invalidContact": _ours(CONTACT, "does not accept the address in ISSUER_ACME_CONTACT"),
    "invalidProfile": Row(LOST_BY_PROFILE, BAD_PROFILE, BAD_PROFILE._replace(leaves_ca=True), NOT_ACCEPTED),
    "malformed": Row(None, NOT_ACCEPTED, NOT_ACCEPTED, NOT_ACCEPTED),
    "orderNotReady": _anywhere(SLOW),
    "rateLimited": _anywhere(LIMIT),
    "rejectedIdentifier": Row(BAD_NAME, BAD_NAME, BAD_NAME, NOT_ACCEPTED),
    "serverInternal": _anywhere(DOWN),
    "tls": _validation(REACHABLE),
    "unauthorized": Row(
        Meaning(T.VALIDATION_FAILED, POINTING, is_of_http=True),
        NOT_ALLOWED,
        NOT_ALLOWED._replace(leaves_ca=True),
        Meaning(T.CA_ACCOUNT, ACCOUNT, is_of_one_order=True),
    ),
    "unsupportedContact": _ours(CONTACT, "does not accept the address in ISSUER_ACME_CONTACT"),
    "unsupportedIdentifier": Row(BAD_NAME, BAD_NAME, BAD_NAME, NOT_ACCEPTED),
    "userActionRequired": _ours(TERMS, "wants consent to its terms of service"),
}
"""By the last part of the URN: RFC 8555 §6.7, RFC 9773 §7.4, and the draft on profiles; «conflict» is Boulder's."""

UNKNOWN = Row(None, NOT_ACCEPTED, NOT_ACCEPTED, NOT_ACCEPTED)
"""A type that is not in the table."""


def of_request(type_: str, resource: Resource) -> Meaning:
    """What a type means as the answer to a request."""
    row = TYPES.get(type_, UNKNOWN)
    match resource:
        case Resource.NEW_ORDER:
            return row.new_order
        case Resource.FINALIZE:
            return row.finalize
        case _:
            return row.other


def new_account(directory_url: str) -> str:
    """How the operator gets a new account at a CA."""
    return f"'issuer ca forget {directory_url}' makes a new account there"


def is_of_validation(type_: str) -> bool:
    """Whether a type says that a validation has failed, wherever it is said."""
    meaning = of_document(type_)
    return meaning is not None and meaning.type in {T.VALIDATION_FAILED, T.CAA} and type_ != "unauthorized"


def of_document(type_: str) -> Meaning | None:
    """What a type means as the error of a challenge, an authorization or an order; None if it does not decide."""
    return TYPES.get(type_, UNKNOWN).document
