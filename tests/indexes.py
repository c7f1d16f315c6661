"""The keys of the due indexes, in the order of `Due`; the first ones are those of open issuances."""

from issuer.domain import Due
from issuer.store.keys import OPEN, index_key

DUE_INDEXES = [index_key((due, "")) for due in Due]
OPEN_INDEXES = [index_key((due, "")) for due in OPEN]
