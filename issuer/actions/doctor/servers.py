"""The Redis of the records, and that of the messages."""

from collections.abc import Iterator

from issuer.ports import Check, CheckResult, ServerFacts, Services
from issuer.problem import Problem

FULL = 0.8
"""From this share of its memory on, a server is reported before it refuses writes."""
SLOW_SECONDS = 0.1
SKEW_SECONDS = 2.0
"""Leases and due times bear more; whoever compares logs of two machines does not."""
OLDEST = (6, 2)
CONSOLE = "look at its settings in the console of its provider"
OK, FAILED, UNKNOWN = CheckResult
CODES = ("redis", "redis-version", "redis-memory", "redis-eviction", "redis-persistence", "clock")
SETTINGS = {"records": "ISSUER_REDIS_URL", "messages": "ISSUER_BROKER_URL"}
"""The setting of each server, by its role."""


def look(services: Services, role: str) -> list[Check]:
    """All about the server with a role. A server that is not there is one failed check."""
    where = f"the Redis of the {role} ({services.servers.addresses()[role]})"
    try:
        services.servers.require_writable(role)
        facts = services.servers.facts(role, now=services.clock())
    except Problem as problem:
        cause = f"{where} does not answer, or refuses writes: {problem.detail}"
        hint = f"start or repair it, or correct {SETTINGS[role]}; 'Redis is unavailable' in docs/runbook.md has more"
        return [Check("redis", FAILED, cause, role, hint)]
    return list(_checks(facts, role, where, may_lose=services.settings.allow_volatile_redis))


def _checks(facts: ServerFacts, role: str, where: str, *, may_lose: bool) -> Iterator[Check]:
    yield _answers(facts, role, where)
    yield _version(facts, role, where)
    yield _memory(facts, role, where)
    yield _eviction(facts, role, where, may_lose=may_lose)
    if role == "records":
        yield _persistence(facts, role, where, may_lose=may_lose)
    yield _clock(facts, role, where)


def _answers(facts: ServerFacts, role: str, where: str) -> Check:
    answer = f"{facts.seconds * 1000:.1f} ms"
    if facts.is_replica:
        hint = f"{SETTINGS[role]} must name the primary server"
        return Check("redis", FAILED, f"{where} is a replica of another server", role, hint)
    if facts.seconds > SLOW_SECONDS:
        hint = "look for slow commands, swapping or a slow network: each step waits for many answers"
        return Check("redis", FAILED, f"{where} takes {answer} for an answer", role, hint)
    return Check("redis", OK, f"{where} takes writes, and answers within {answer}", role)


def _version(facts: ServerFacts, role: str, where: str) -> Check:
    oldest = ".".join(map(str, OLDEST))
    if facts.version is None:
        return Check(
            "redis-version", UNKNOWN, f"{where} does not say its version", role, f"it must be {oldest} or newer"
        )
    numbers = tuple(int(part) for part in facts.version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        hint = f"install version {oldest} or newer"
        return Check("redis-version", FAILED, f"{where} has version {facts.version}, which is too old", role, hint)
    return Check("redis-version", OK, f"{where} has version {facts.version}", role)


def _memory(facts: ServerFacts, role: str, where: str) -> Check:
    if facts.used_bytes is None or facts.most_bytes is None:
        return Check("redis-memory", UNKNOWN, f"{where} does not say how much memory it uses", role, CONSOLE)
    used = f"uses {_size(facts.used_bytes)} of the {_size(facts.most_bytes)} that it may use"
    if facts.used_bytes < FULL * facts.most_bytes:
        return Check("redis-memory", OK, f"{where} {used}", role)
    hint = "give it more memory, and raise its maxmemory: once it is full, it refuses writes and nothing is issued"
    return Check("redis-memory", FAILED, f"{where} {used}", role, hint)


def _eviction(facts: ServerFacts, role: str, where: str, *, may_lose: bool) -> Check:
    policy = facts.durability.eviction_policy
    if policy is None:
        return Check("redis-eviction", UNKNOWN, f"{where} does not say whether it evicts keys", role, CONSOLE)
    words = f"{where} has the maxmemory-policy {policy}"
    if policy == "noeviction" or may_lose:
        return Check("redis-eviction", OK, words, role)
    hint = "set maxmemory-policy noeviction, or else it may throw accounts, certificates and keys away"
    return Check("redis-eviction", FAILED, f"{words}, so it may evict keys", role, hint)


def _persistence(facts: ServerFacts, role: str, where: str, *, may_lose: bool) -> Check:
    if facts.failing:
        hint = "give its disk free space, and look at its log: a restart now would lose data"
        return Check("redis-persistence", FAILED, f"{where} cannot write its files: {facts.failing}", role, hint)
    kept = facts.durability
    if kept.has_log is None or kept.has_snapshots is None:
        words = f"{where} does not say whether it keeps its data on disk"
        return Check("redis-persistence", UNKNOWN, words, role, CONSOLE)
    if kept.has_log:
        return Check("redis-persistence", OK, f"{where} keeps its data in an append-only file", role)
    words = "has snapshots only, so a crash loses minutes" if kept.has_snapshots else "keeps nothing on disk"
    if may_lose:
        return Check("redis-persistence", OK, f"{where} {words}, which ISSUER_ALLOW_VOLATILE_REDIS allows", role)
    hint = "set appendonly yes, first in the running server: 'Redis' in docs/production.md says how"
    return Check("redis-persistence", FAILED, f"{where} {words}", role, hint)


def _clock(facts: ServerFacts, role: str, where: str) -> Check:
    skew = facts.ahead_seconds
    words = (
        f"the clock of {where} is {abs(skew):.1f} seconds {'ahead of' if skew > 0 else 'behind'} that of this machine"
    )
    if abs(skew) - facts.seconds <= SKEW_SECONDS:
        return Check("clock", OK, words, role)
    return Check("clock", FAILED, words, role, "set both clocks by NTP")


def _size(number: int) -> str:
    """Bytes for people."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
