"""Whether ISSUER_ENCRYPTION_KEYS decrypts what is stored. Every process asks this when it starts, and /readyz always.

The keys of our accounts at the CAs tell, and those of a few certificates that were installed since: after a key was
lost for good, the accounts are new (`authorities.forget`), and older certificates need not be readable any more.
"""

import math

import structlog

from issuer.domain import Record
from issuer.keys import is_token, undecryptable
from issuer.ports import CaAccount, Services
from issuer.problem import Problem, ProblemType

SAMPLE = 3
"""So many certificates are looked at, as a single record may be damaged."""

log = structlog.get_logger(__name__)


def require_decryptable(services: Services) -> list[str]:
    """Return no warnings if the stored keys can be decrypted, or if there are none. Raises Problem(undecryptable),
    which names one that cannot, and Problem(store-unavailable)."""
    accounts = _accounts(services)
    for url, account in accounts.items():
        if not all(_opens(services, key) for key in (account.key, account.next_key) if key):
            raise undecryptable(f"the key of our account at {url}")
    since = min((account.created_at for account in accounts.values()), default=0)
    keys = _certificate_keys(services, since)
    if keys and not any(_opens(services, key) for key in keys.values()):
        raise undecryptable(f"the key of the certificate for {next(iter(keys))}")
    return []


def refuse_wrong_keys(services: Services) -> None:
    """End this process with one line if the stored keys cannot be decrypted. For processes that are started without
    `issuer run`, which has looked already. If the store is unavailable, the process goes on, as it must survive it."""
    try:
        require_decryptable(services)
    except Problem as problem:
        if problem.type is ProblemType.UNDECRYPTABLE:
            raise SystemExit(str(problem)) from None
        log.warning("not checked whether stored keys can be decrypted", problem=problem.type, reason=str(problem))


def _accounts(services: Services) -> dict[str, CaAccount]:
    """Our accounts at the CAs in use, by their directory URLs."""
    found = {ca.directory_url: _account(services, ca.directory_url) for ca in services.cas}
    return {url: account for url, account in found.items() if account}


def _account(services: Services, url: str) -> CaAccount | None:
    """Our account at a CA; None if there is none, or if it is damaged, which tells nothing of the encryption keys."""
    try:
        return services.store.ca_account(url)
    except Problem as problem:
        if problem.type is ProblemType.DAMAGED_RECORD:
            return None
        raise


def _certificate_keys(services: Services, since: float) -> dict[str, str]:
    """The encrypted keys of some valid certificates by name: of those that were installed since a time, the first that
    end, as an old key is the likeliest to be missing. One that is cut off tells nothing."""
    now = services.clock()
    pairs = services.store.names_by_expiry(until=math.inf, after=(now, ""), limit=SAMPLE)
    records = [one for one in services.store.records([name for _, name in pairs]) if isinstance(one, Record)]
    return {
        record.domain.name: record.domain.certificate.key
        for record in records
        if record.domain.certificate
        and is_token(record.domain.certificate.key)
        and record.domain.certificate.installed_at >= since
    }


def _opens(services: Services, token: str) -> bool:
    try:
        services.vault.decrypt(token)
    except Problem:
        return False
    return True
