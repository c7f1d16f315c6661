"""The indexes that a record is in: sets of names by due time, and lists of names by facts.

A fact does not change by itself: a status does, so it is computed from these when it is asked for.
"""

from enum import StrEnum


class Due(StrEnum):
    """What is due: each has an index of names by the time when it is due, from which the scans take. A record is in at
    most one of the first three, which are the names of the queues as well."""

    OPEN_INTERACTIVE = "interactive"  # an open issuance that somebody is waiting for
    OPEN_BULK = "bulk"  # one of an account that has started many at once
    OPEN_RENEWAL = "renewal"  # an open renewal
    RENEWAL_START = "renew"  # a renewal is to be started
    EXPIRY = "expire"  # the certificate expires
    RENEWAL_INFO = "renewal_info"  # the CA is to be asked when to renew
    DNS_RECHECK = "away"  # DNS is to be asked whether the name points here again
    EDGE_CONFIRMATION = "confirm"  # the edges are to be asked whether they serve the new certificate
    REVOCATION = "revoke"  # a CA is to revoke a certificate
    REMOVAL = "forget"  # the record of a withdrawn name is no longer needed


class Listing(StrEnum):
    """By which facts names are listed. Those with a comment are for one value each; the score is what stands there."""

    ACCOUNT = "account"  # of an account; 0
    CA = "ca"  # with a certificate of a CA; 0
    CODE = "code"  # whose last problem has a code; 0
    EXPIRY = "expiry"  # all with a certificate; its notAfter
    OPEN = "open"  # all with an open issuance; when it may be tried next, or 0
    FAILED = "failed"  # all whose last issuance has failed for good; 0
    MOVED_AWAY = "moved_away"  # all that DNS says point elsewhere; since when


Index = tuple[Due, str] | tuple[Listing, str]
"""An index, and for which value of its fact ('': it has none)."""
