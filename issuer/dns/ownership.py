"""Does a TXT record prove which account a name belongs to?"""

from typing import cast

from dns.name import NameTooLong
from dns.rdatatype import TXT
from dns.rdtypes.ANY.TXT import TXT as Record  # noqa: N811 - a class

from issuer.dns.queries import NoSuchNameError, Queries, name_of
from issuer.ports import Verdict


def proof(queries: Queries, owner: str, token: str) -> tuple[Verdict, str]:
    """Whether the name `owner` has a TXT record that contains a token, and a summary of what was found. Raises
    UnansweredError."""
    try:
        records = queries.resolve_target(name_of(owner), TXT).rrset or ()
    except NameTooLong:
        return Verdict.NO, f"{owner} is too long for a DNS name"
    except NoSuchNameError:
        records = ()
    texts = [b"".join(cast("Record", record).strings) for record in records]
    if any(token.encode() in text for text in texts):
        return Verdict.YES, f"{owner} has the TXT record"
    return Verdict.NO, f"{owner} has {'only other TXT records' if texts else 'no TXT record'}"
