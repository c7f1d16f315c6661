"""What the core needs of the settings."""

from dataclasses import dataclass

from issuer.keys import KeyType
from issuer.ports.outside import HolderProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Settings that the core reads. Each has the name that it has in `config.Settings`, which says what it means;
    `wiring` copies them by name, and a test holds that names and types agree."""

    key_type: KeyType
    lease_seconds: int
    allow_reserved_names: bool
    renewals_per_second: float
    renewals_at_once: int
    new_names_per_registered_domain: int
    hsts_max_age_seconds: int
    hold_seconds: int
    holder_proof: HolderProof
