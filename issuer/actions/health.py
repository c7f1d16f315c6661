"""Whether a process can work, what all processes have counted, and the upkeep of the records."""

from issuer import metrics
from issuer.domain import Due
from issuer.ports import Reindexed, Services

BATCH = 1000


def require_ready(services: Services) -> None:
    """Return if the store answers. Raises Problem(store-unavailable)."""
    services.store.ping()


def metrics_text(services: Services) -> bytes:
    """The metrics of all processes in the text format of Prometheus."""
    unconfirmed, _ = services.store.names(Due.EDGE_CONFIRMATION, limit=1)
    return metrics.exposition(services.counters.values(), unconfirmed=unconfirmed)


def reindex(services: Services, *, restart: bool = False) -> Reindexed:
    """Give some of the records that an earlier release wrote their indexes; how far that has come. restart: begin with
    the first record again."""
    return services.store.reindex(now=services.clock(), limit=BATCH, restart=restart)
