"""What a person typed -> one canonical A-label, or a Problem that says why not."""

import re
import unicodedata
from collections.abc import Collection
from functools import cache

import idna
from publicsuffixlist import PublicSuffixList

from issuer.problem import Problem, ProblemType

MAX_INPUT = 1000
MAX_SHOWN = 80
MAX_NAME = 253
MAX_LABELS = 10

HOST_NAME_ONLY = "send only the host name, such as shop.example.com"
REGISTERED_NAME = "send a name below a registered domain, such as shop.example.com"

# Searched in this order, so that a URL with a port is called a URL.
NO_HOST_NAMES = (
    (re.compile(r"[/\\?#]"), "is a URL or a path, not a host name", HOST_NAME_ONLY),
    (re.compile(r"@"), "is an e-mail address, not a host name", HOST_NAME_ONLY),
    (re.compile(r"\*"), "is a wildcard, and HTTP-01 cannot validate wildcards", "ask for each host name separately"),
    (re.compile(r"\[|:.*:"), "is an IPv6 address, not a host name", HOST_NAME_ONLY),
    (re.compile(r":"), "has a port", HOST_NAME_ONLY),
    (re.compile(r"(?:\A|\.)(?:[0-9]+|0x[0-9a-f]*)\Z"), "is an IP address or ends in a number", HOST_NAME_ONLY),
    (re.compile(r"_"), "has an underscore, and CA policy forbids it", "use a name without '_'"),
)

COMMON_LABEL = (
    "(?:www|web|mail|webmail|smtp|imap|pop|ftp|ns|mx|cpanel|whm|webdisk|autodiscover|autoconfig|cpcalendars|cpcontacts"
    "|m|api|app|blog|shop|dev|test|staging|admin)"
)
CRAWLED = re.compile(rf"(?:\A|\.)(?:([^.]+)\.\1|{COMMON_LABEL}\.{COMMON_LABEL}\.{COMMON_LABEL})(?:\.|\Z)")
CRAWLED_LABELS = 4
"""A name that looks like a crawler's has at least as many labels."""

LABEL_REASONS = {
    "empty_label": "is empty: the name has two dots in a row, or one at the start",
    "input_too_long": "is longer than 63 octets",
    "label_too_long": "is longer than 63 octets",
    "hyphen_start_end": "starts or ends with '-'",
    "hyphen_3_4": "has '--' as its 3rd and 4th characters and is not a valid A-label",
}


def canonical(
    text: str, *, own_names: Collection[str] = (), allow_reserved: bool = False, is_held: bool = False
) -> str:
    """The one form of a name for which a certificate is requested: A-labels in lower case, without a dot at the end.

    own_names: the platform's names; they and all names below them are refused. allow_reserved: for a private
    or test CA, accept top-level domains that the internet does not have (.test, .local).
    Public suffixes of the ICANN section (com, co.uk) are refused. One of the private section (github.io) is
    allowed on purpose: public CAs issue for it, and its holder may well be a customer.
    Three identical labels in a row are refused, as Let's Encrypt does since 2026 (Boulder #8646). is_held: but not for
    a name that may have a certificate already, as the renewals of such names are exempt.
    Raises Problem(invalid-name), and nothing else. Rules: UTS 46 (non-transitional, STD3), then IDNA 2008
    (RFC 5891); sizes of RFC 1035 §2.3.4; at most 10 labels, the limit of Let's Encrypt.
    """
    name = _in_a_labels(text)
    _require_public_name(name, allow_reserved=allow_reserved)
    _require_not_ours(name, own_names)
    if not is_held:
        _require_no_repetition(name)
    return name


def known(text: str) -> str:
    """The canonical form of a name that may already be held, even if it could not be requested now: by these settings,
    or since rules have become stricter. Raises Problem(invalid-name)."""
    name = _in_a_labels(text)
    _require_public_name(name, allow_reserved=True)
    return name


def is_ours(name: str, own_names: Collection[str]) -> bool:
    """Whether a canonical name is one of `own_names`, or below one."""
    return any(name == own or name.endswith(f".{own}") for own in map(_own_name, own_names))


def looks_crawled(name: str) -> bool:
    """Whether a name looks as if a crawler had followed a wildcard record into itself: with a label twice in a row, or
    with three common ones in a row. CAs refuse some of these, by lists of labels that they do not publish; so this only
    explains a refusal."""
    return name.count(".") + 1 >= CRAWLED_LABELS and CRAWLED.search(name) is not None


def _in_a_labels(text: str) -> str:
    mapped = _mapped(text).removesuffix(".")
    _require_host_name(mapped)
    name = ".".join(_a_label(label) for label in mapped.split("."))
    if len(name) > MAX_NAME:
        raise _refusal(name, f"is longer than {MAX_NAME} octets", "use a shorter name")
    return name


def _refusal(part: str, reason: str, hint: str) -> Problem:
    # ascii(): the input reaches logs and terminals, and must not break a line or change its direction.
    shown = ascii(part if len(part) <= MAX_SHOWN else part[:MAX_SHOWN] + "...")
    return Problem(ProblemType.INVALID_NAME, f"{shown} {reason}", hint=hint)


def _mapped(text: str) -> str:
    """The text after the mapping of UTS 46: lower case, and plain dots and letters for their full-width forms."""
    if len(text) > MAX_INPUT:
        raise _refusal(text, f"is longer than {MAX_INPUT} characters", "use a shorter name")
    if any(char.isspace() or unicodedata.category(char) == "Cc" for char in text):
        raise _refusal(text, "has a space or a control character", "remove it, also at the start and at the end")
    try:
        # Without std3_rules, so that a full-width '*' gets its own reason; `_a_label` refuses what STD3 refuses.
        return idna.uts46_remap(text, std3_rules=False)
    except idna.IDNAError as error:
        raise _refusal(text, _broken_rule(error), "check its spelling") from None


def _require_host_name(mapped: str) -> None:
    """Refuse what is not a host name, or has too many labels."""
    if not mapped:
        raise _refusal(mapped, "is empty", HOST_NAME_ONLY)
    for sign, reason, hint in NO_HOST_NAMES:
        if sign.search(mapped):
            raise _refusal(mapped, reason, hint)
    if mapped.count(".") >= MAX_LABELS:
        raise _refusal(mapped, f"has more than {MAX_LABELS} labels", "use a name with fewer dots")


def registered_domain(name: str) -> str:
    """The registered domain of a canonical name, as CAs count it: its public suffix, of either section of the list, and
    one more label. A name that is a public suffix itself (uk.com) is its own. Below a top-level domain that the list
    does not have, the last two labels are."""
    suffixes = _suffixes()
    if suffixes.is_public(name):
        return name
    return suffixes.privatesuffix(name) or ".".join(name.split(".")[-2:])


def _a_label(label: str) -> str:
    """One label in its IDNA 2008 form; an `xn--` label only if decoding and encoding it gives the same label."""
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError as error:
        reason = LABEL_REASONS.get(error.code or "") or _broken_rule(error)
        if label.startswith("xn--"):
            reason = "starts with 'xn--' and is not a valid A-label of at most 63 octets"
        raise _refusal(label, f"is a label that {reason}", "check its spelling") from None


def _broken_rule(error: idna.IDNAError) -> str:
    if error.codepoint is None:
        return "is not allowed by IDNA 2008"
    return f"has U+{error.codepoint:04X} in a place where a name cannot have it"


@cache
def _suffixes(*, only_icann: bool = False) -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=only_icann)


def _require_public_name(name: str, *, allow_reserved: bool) -> None:
    """Refuse public suffixes, single labels, and top-level domains that a public CA cannot look up."""
    top, suffixes = name.rpartition(".")[2], _suffixes(only_icann=True)
    if suffixes.is_public(name):
        raise _refusal(name, "is a public suffix, which belongs to no customer", REGISTERED_NAME)
    if top == name:
        raise _refusal(name, "is a single label", REGISTERED_NAME)
    if top == "onion":
        raise _refusal(name, "is a Tor name, and HTTP-01 cannot reach it", REGISTERED_NAME)
    # The list has arpa, but customers have no names there: home.arpa is local, the rest is infrastructure.
    is_known = suffixes.publicsuffix(name) is not None and top != "arpa"
    if not is_known and not allow_reserved:
        raise _refusal(name, f"is under .{top}, a reserved or unknown top-level domain", REGISTERED_NAME)


def _require_not_ours(name: str, own_names: Collection[str]) -> None:
    """Refuse the platform's own names: with a certificate for one, a customer could take over the API."""
    if is_ours(name, own_names):
        raise _refusal(name, "is one of this platform's names, or below one", "use a name of your own domain")


def _require_no_repetition(name: str) -> None:
    """Refuse names such as shop.shop.shop.example.com, which look as if a crawler had followed a wildcard record."""
    labels = name.split(".")
    for label, *others in zip(labels, labels[1:], labels[2:], strict=False):
        if others == [label, label]:
            reason = f"has the label '{label}' three times in a row, and CAs refuse such names"
            raise _refusal(name, reason, "use a name in which no label is repeated")


def _own_name(own: str) -> str:
    # `*.ours` and `.ours` mean `ours`. A name that no customer could get, such as `our_edge.test`, is not an error.
    own = own.strip("*. ")
    try:
        return idna.encode(own, uts46=True).decode("ascii").removesuffix(".")
    except idna.IDNAError:
        return own.lower()
