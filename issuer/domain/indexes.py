"""The indexes that a record is in: due indexes (names by the time when something is due) and listings (names by facts).

A fact does not change by itself. A status does, so it is computed from the indexes when it is asked for.
"""

from enum import StrEnum


class Due(StrEnum):
    """What is due. Each member has a due index, from which a scan claims names. A record is in at most one of the first
    three, which are also the names of the queues."""

    OPEN_INTERACTIVE = "interactive"  # an open issuance that somebody is waiting for
    OPEN_BULK = "bulk"  # an open issuance of an account that has started many at once
    OPEN_RENEWAL = "renewal"  # an open renewal
    RENEWAL_START = "renew"  # start a renewal
    EXPIRY = "expire"  # look at the end of the certificate, see `ending`
    RENEWAL_INFO = "renewal_info"  # ask the CA when to renew
    DNS_RECHECK = "away"  # ask DNS whether the name points here again
    EDGE_CONFIRMATION = "confirm"  # ask the edges whether they serve the new certificate
    REVOCATION = "revoke"  # ask a CA to revoke a certificate
    REMOVAL = "forget"  # the record of a withdrawn name is no longer needed


class Listing(StrEnum):
    """The facts by which names are listed. The first five have one index for each value, the others have one index
    for all. Each comment says which names are in the index, and what their score is."""

    ACCOUNT = "account"  # the names of an account; 0
    CA = "ca"  # the names with a certificate of a CA; 0
    CODE = "code"  # the names whose last problem has a code; 0
    MUST_ACT = "must_act"  # the names whose last problem must be ended by an `Actor`; 0
    ENDING = "ending"  # the names reported to end without a working renewal, by `Record.ending_code`; its notAfter
    EXPIRY = "expiry"  # all names with a certificate; its notAfter
    OPEN = "open"  # all names with an open issuance; when it may be tried next, or since when
    FAILED = "failed"  # all names whose last issuance has failed for good; 0
    REJECTED = (
        "rejected"  # all names, withdrawn ones too, for which a CA has issued a certificate that cannot be used; 0
    )
    MOVED_AWAY = "moved_away"  # all names that have moved away; since when
    AT_RISK = "at_risk"  # all names with a certificate whose renewal has failed so far, or for good; its notAfter
    ENDED_OPEN = "ended_open"  # of OPEN, those whose certificate has been reported to have ended; as of OPEN
    ENDED_FAILED = "ended_failed"  # the same of FAILED; 0
    UNCONFIRMED = "unconfirmed"  # names whose certificate not all edges are known to serve; when it was installed


WITH_VALUES = frozenset({Listing.ACCOUNT, Listing.CA, Listing.CODE, Listing.MUST_ACT, Listing.ENDING})
"""The listings that have one index for each value."""
Index = tuple[Due, str] | tuple[Listing, str]
"""An index, and the value of its fact ('' if the index has no values)."""
