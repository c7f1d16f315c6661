"""Does a name show, in a TXT record, whose it is?"""

from typing import cast

from dns.name import NameTooLong
from dns.rdatatype import TXT
from dns.rdtypes.ANY.TXT import TXT as Record  # noqa: N811 - a class
from dns.resolver import NXDOMAIN

from issuer.dns.queries import Questions, UnansweredError, name_of
from issuer.ports import Verdict


def proof(questions: Questions, at: str, token: str) -> tuple[Verdict, str]:
    """Whether a name has a TXT record with a token in it, and what was found in words."""
    try:
        records = questions.ask_the_end(name_of(at), TXT).rrset or ()
    except NameTooLong:
        return Verdict.NO, f"{at} would be too long for a name"
    except NXDOMAIN:
        records = ()
    except UnansweredError as error:
        return Verdict.UNKNOWN, str(error)
    texts = [b"".join(cast("Record", record).strings) for record in records]
    if any(token.encode() in text for text in texts):
        return Verdict.YES, f"{at} has the TXT record"
    return Verdict.NO, f"{at} has {'other TXT records only' if texts else 'no TXT record'}"
