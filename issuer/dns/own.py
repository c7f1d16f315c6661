"""Is the fault our own? Our DNS servers may be silent about every name, and our own targets may be wrong."""

import time
from collections.abc import Sequence
from dataclasses import replace

from dns.exception import DNSException
from dns.name import Name, root
from dns.rdatatype import AAAA, CAA, NS, A, RdataType

from issuer.dns.queries import NoSuchNameError, Queries, UnansweredError
from issuer.dns.servers import Nameservers

TRIES = 3
"""How many tries there are for a name that our DNS servers surely know."""
MAX_TARGETS = 2
FAMILIES = (A, AAAA)


def is_answering(nameservers: Nameservers, targets: Sequence[Name], until: float) -> bool:
    """Whether our DNS servers answer clearly for any name: the root, which every one of the internet knows, or one of
    our targets, which every private one must know. until: the deadline (monotonic seconds)."""
    try:
        servers = nameservers.queries().servers
    except (DNSException, OSError, ValueError):
        return False
    seconds = until - time.monotonic()
    known: list[tuple[Name, RdataType]] = [(root, NS), *((target, A) for target in targets[:MAX_TARGETS])]
    for name, rdtype in known:
        queries = Queries(list(servers), time.monotonic() + seconds / len(known), seconds / len(known) / TRIES)
        try:
            queries.resolve(name, rdtype)
        except UnansweredError:
            continue
        except NoSuchNameError:
            return True
        return True
    return False


def addresses(queries: Queries, name: Name) -> set[str]:
    """The addresses of a name, of both families, as far as they are known."""
    found: set[str] = set()
    for family in FAMILIES:
        try:
            found |= {record.to_text() for record in queries.resolve_target(name, family).rrset or ()}
        except (NoSuchNameError, UnansweredError):
            continue
    return found


def target_without_caa(queries: Queries, name: Name, targets: Sequence[Name]) -> Name | None:
    """Our target, if a name is a CNAME to it, or is it, whose CAA records have no clear answer."""
    queries = replace(queries, until=max(queries.until, time.monotonic() + queries.try_seconds))
    try:
        end = queries.resolve_target(name, A).canonical_name.canonicalize()
        target = next((target for target in targets if target in {name, end}), None)
        if target:
            queries.resolve_target(target, CAA)
    except UnansweredError as error:
        return error.name if error.name in targets else None
    except NoSuchNameError:
        return None
    return None
