"""Every key in Redis, all below `issuer:`.

domain:{name}        hash: domain, issuance, timeline (JSON), id, version, lease_until, begun, urgent_by, ca, served,
schema, callers_changes, indexes (`key=score` lines), indexed (the version of the write of
                       these)
agenda:{due}         sorted set: names by the time when something is due for them; one for each `Due`
agenda:ready         sorted set: renewals that are due and wait for their turn, by urgency
index:{fact}[:…]     sorted set: names by a fact; one for each `Listing`, or for each of its values
changes              stream: names whose `served` (`Domain.edge_version`) has changed, for the edges, see `feed`
pace, quota:{what}   string with an end: how much of an allowance is spent
token:{token}        string with an end: an HTTP-01 key authorization
account:{id}         string: a customer's account (JSON); accounts: the set of their ids
ca-account:{hash}    string: our account at a CA (JSON), by the SHA-256 of its directory URL; ca-lock:{hash}
ca:{hash}:…          what is known of a CA, see `ca_state`
metrics              hash: what is counted, see `counters`
reindex              hash: how far `reindex` has come
"""

import hashlib

from issuer.domain import Due, Index, Listing

ROOT = "issuer:"
RECORDS = f"{ROOT}domain:"
ACCOUNTS = f"{ROOT}accounts"
CHANGES = f"{ROOT}changes"
METRICS = f"{ROOT}metrics"
PACE = f"{ROOT}pace"
REINDEX = f"{ROOT}reindex"
READY_INDEX = f"{ROOT}agenda:ready"
OPEN = (Due.OPEN_INTERACTIVE, Due.OPEN_BULK, Due.OPEN_RENEWAL)
DUE_INDEXES = [f"{ROOT}agenda:{due}" for due in Due]
OPEN_INDEXES = DUE_INDEXES[: len(OPEN)]


def record_key(name: str) -> str:
    """Of a domain's record."""
    return f"{RECORDS}{name}"


def index_key(index: Index) -> str:
    """Of an index."""
    kind, value = index
    if isinstance(kind, Due):
        return f"{ROOT}agenda:{kind}"
    if kind is Listing.CA:
        value = _hash(value)
    return f"{ROOT}index:{kind}:{value}" if value else f"{ROOT}index:{kind}"


def account_key(account_id: str) -> str:
    """Of a customer's account."""
    return f"{ROOT}account:{account_id}"


def token_key(token: str) -> str:
    """Of an HTTP-01 token."""
    return f"{ROOT}token:{token}"


def quota_key(of: str) -> str:
    """Of a quota that is no CA's."""
    return f"{ROOT}quota:{of}"


def ca_account_key(directory_url: str) -> str:
    """Of our account at a CA."""
    return f"{ROOT}ca-account:{_hash(directory_url)}"


def ca_lock_key(directory_url: str) -> str:
    """Of the lock of our account at a CA."""
    return f"{ROOT}ca-lock:{_hash(directory_url)}"


def ca_key(directory_url: str, what: str) -> str:
    """Of something that is known of a CA."""
    return f"{ROOT}ca:{_hash(directory_url)}:{what}"


def _hash(directory_url: str) -> str:
    return hashlib.sha256(directory_url.encode()).hexdigest()[:32]
