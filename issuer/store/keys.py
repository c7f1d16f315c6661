"""Every key in Redis, all below `issuer:`.

domain:{name}        hash: domain, issuance, timeline (JSON), id, version, lease_until, begun (`attempts_started`),
                     urgent_by, ca, served (`Domain.edge_version`), schema, callers_changes,
                     indexes (`key=score` lines), indexed (the version of the write of these)
agenda:{due}         sorted set: a due index, names by the time when something is due; one for each `Due`
agenda:ready         sorted set: the names whose renewal is due and waits for its turn, by urgency
index:{fact}[:…]     sorted set: names by a fact; one for each `Listing`, or for each of its values
changes              stream: the names whose `served` has changed, for the edges, see `feed`
pace, quota:{what}   string that expires: how much of a quota is spent
renewal-run:{hash}   string that expires: when the forced renewal of a selection began (epoch seconds)
token:{token}        string that expires: the key authorization of an HTTP-01 token, or the answer to a probe
account:{id}         string: a customer's account (JSON); accounts: the set of their ids
ca-account:{hash}    string: our account at a CA (JSON), by the SHA-256 of its directory URL; ca-lock:{hash}: its lock
ca:{hash}:…          the state of a CA, see `ca_state`
refused:{account}    hash that expires: the last refused requests of an account by name (JSON); refused-at:{account}:
                     sorted set that expires: their names by their times
metrics              hash: the counters, see `counters`
identity             hash: id, lost, replaces, see `identity`
reindex              hash: the progress of `reindex`
lock:{name}          string that expires: who has a lock, see `locks`
operator-keys        hash: the keys of operators (JSON) by name; operator-keys-used: when each was last used
operator-session:{hash}  string that expires: a session of the operators' page (JSON), by the SHA-256 of its token
fleet                hash: heartbeats, see `heartbeats`
fleet-settings       hash: digests of the settings of each process, see `heartbeats`
broker               hash, beside the messages: the identity of the broker, and who takes messages from it
alarms, endings      hashes: the alarms that are on their way, and what was told of certificates that end, see `alarms`
faults, diagnosis    hash: the open faults of the fleet; string: what `issuer doctor` found last (JSON), see `faults`
probe                never there: what is written to it to see whether Redis accepts writes is empty
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
IDENTITY = f"{ROOT}identity"
PROBE = f"{ROOT}probe"
OPERATOR_KEYS = f"{ROOT}operator-keys"
OPERATOR_KEYS_USED = f"{ROOT}operator-keys-used"
FLEET = f"{ROOT}fleet"
CONFIGURATIONS = f"{ROOT}fleet-settings"
BROKER = f"{ROOT}broker"
ALARMS = f"{ROOT}alarms"
ENDINGS = f"{ROOT}endings"
FAULTS = f"{ROOT}faults"
DIAGNOSIS = f"{ROOT}diagnosis"
READY = "ready"
READY_INDEX = f"{ROOT}agenda:{READY}"
OPEN = (Due.OPEN_INTERACTIVE, Due.OPEN_BULK, Due.OPEN_RENEWAL)


def record_key(name: str) -> str:
    """The key of a domain's record."""
    return f"{RECORDS}{name}"


def index_key(index: Index) -> str:
    """The key of a due index or a listing."""
    kind, value = index
    if isinstance(kind, Due):
        return f"{ROOT}agenda:{kind}"
    if kind is Listing.CA:
        value = _hash(value)
    return f"{ROOT}index:{kind}:{value}" if value else f"{ROOT}index:{kind}"


def refusal_keys(account_id: str) -> tuple[str, str]:
    """The keys of an account's refused requests: their texts, and their times."""
    return f"{ROOT}refused:{account_id}", f"{ROOT}refused-at:{account_id}"


def account_key(account_id: str) -> str:
    """The key of a customer's account."""
    return f"{ROOT}account:{account_id}"


def token_key(token: str) -> str:
    """The key of an HTTP-01 token."""
    return f"{ROOT}token:{token}"


def quota_key(of: str) -> str:
    """The key of a quota of our own (not of a CA)."""
    return f"{ROOT}quota:{of}"


def ca_account_key(directory_url: str) -> str:
    """The key of our account at a CA."""
    return f"{ROOT}ca-account:{_hash(directory_url)}"


def ca_lock_key(directory_url: str) -> str:
    """The key of the lock of our account at a CA."""
    return f"{ROOT}ca-lock:{_hash(directory_url)}"


def lock_key(name: str) -> str:
    """The key of a lock of the whole fleet."""
    return f"{ROOT}lock:{name}"


def operator_session_key(token_hash: str) -> str:
    """The key of a session of the operators' page."""
    return f"{ROOT}operator-session:{token_hash}"


def ca_key(directory_url: str, part: str) -> str:
    """The key of a part of the state of a CA."""
    return f"{ROOT}ca:{_hash(directory_url)}:{part}"


def renewal_run_key(selection: str) -> str:
    """The key of the forced renewal of a selection."""
    return f"{ROOT}renewal-run:{_hash(selection)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
