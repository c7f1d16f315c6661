"""The due indexes: sets of names by the time when something is due for them."""

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
