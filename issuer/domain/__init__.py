"""The two records (domain and issuance), their legal moves, and the one function that computes a status from them.

Times are epoch seconds, UTC. Records are immutable: a move returns a new record, which the store saves or refuses.
"""

from issuer.domain.account import Account, Plan
from issuer.domain.certificate import Certificate, Rejection, RenewalWindow, Revocation
from issuer.domain.domain import CALLERS_FIELDS, DAY_SECONDS, KEPT_SECONDS, NOT_RENEWED, SCHEMA, Domain, Record
from issuer.domain.hsts import Hsts
from issuer.domain.indexes import WITH_VALUES, Due, Index, Listing
from issuer.domain.issuance import (
    CHAIN,
    MOVES,
    Issuance,
    Reason,
    Step,
    domain_of,
    lost_issuance,
    new_issuance,
    withdrawn_issuance,
)
from issuer.domain.status import (
    PROCESSING_WITHIN_SECONDS,
    URGENT_SECONDS,
    Status,
    is_in_progress,
    must_act,
    status,
)

__all__ = [
    "CALLERS_FIELDS",
    "CHAIN",
    "DAY_SECONDS",
    "KEPT_SECONDS",
    "MOVES",
    "NOT_RENEWED",
    "PROCESSING_WITHIN_SECONDS",
    "SCHEMA",
    "URGENT_SECONDS",
    "WITH_VALUES",
    "Account",
    "Certificate",
    "Domain",
    "Due",
    "Hsts",
    "Index",
    "Issuance",
    "Listing",
    "Plan",
    "Reason",
    "Record",
    "Rejection",
    "RenewalWindow",
    "Revocation",
    "Status",
    "Step",
    "domain_of",
    "is_in_progress",
    "lost_issuance",
    "must_act",
    "new_issuance",
    "status",
    "withdrawn_issuance",
]
