"""The queues of the fleet, and the process of the Procfile that takes messages from each."""

from issuer.domain import Due

INTERACTIVE = Due.OPEN_INTERACTIVE.value
BULK = Due.OPEN_BULK.value
RENEWAL = Due.OPEN_RENEWAL.value
HOUSEKEEPING = "housekeeping"
LOOKUP = "lookup"

READ_BY = {
    "worker": (INTERACTIVE, HOUSEKEEPING),
    "renewals": (BULK, RENEWAL, LOOKUP),
}
"""The queues of each process. `worker` takes what somebody waits for, and scans that take milliseconds; `renewals` the
others: so nobody waits behind renewals, behind thousands of issuances that another account starts at once, or behind
queries to other servers. A process takes messages from its queues in turn."""
QUEUES = (INTERACTIVE, HOUSEKEEPING, BULK, RENEWAL, LOOKUP)
"""Every queue."""


def process_of(queue: str) -> str:
    """The process that takes messages from a queue."""
    return next(process for process, queues in READ_BY.items() if queue in queues)
