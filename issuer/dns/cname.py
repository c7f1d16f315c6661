"""Does a customer's name point here?"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dns.name import Name
from dns.rdatatype import AAAA, CNAME, A, RdataType

from issuer.dns.queries import HOPS, NoSuchNameError, Queries, UnansweredError, name_of, text_of
from issuer.ports import Verdict

FAMILIES = (A, AAAA)
MAX_SHOWN = 3
"""How many hops, addresses or targets a summary shows."""


class TargetError(Exception):
    """Our own targets have no address, so that nothing can be compared with them."""


@dataclass(frozen=True, slots=True)
class CnameLookup:
    """Whether a name points to one of `targets`. chain: the name, then its hops. by_cname: addresses do not count.
    theirs, ours: the addresses of its end and those of the targets, as far as they have been asked for."""

    queries: Queries
    targets: tuple[Name, ...]
    chain: list[Name]
    by_cname: bool = False
    theirs: set[str] = field(default_factory=set)
    ours: set[str] = field(default_factory=set)

    @property
    def is_elsewhere(self) -> bool:
        """After the verdict: whether the name has addresses, and none of them is ours."""
        return bool(self.theirs) and not self.theirs & self.ours

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict, and a summary of what was found."""
        try:
            return self._follow()
        except NoSuchNameError:
            return Verdict.NO, self._summary("has no DNS record at all")
        except (UnansweredError, TargetError) as error:
            return Verdict.UNKNOWN, f"{self._summary()}; {error}" if self.chain[1:] else str(error)

    def _follow(self) -> tuple[Verdict, str]:
        while (last := self.chain[-1]) not in self.targets:
            hop = self._cname(last)
            if hop is None:
                return self._without_cname() if self.by_cname else self._compare()
            closes_loop = hop in self.chain
            self.chain.append(hop)
            if closes_loop:
                return Verdict.NO, self._summary("closes a loop")
            if len(self.chain) - 1 > HOPS:
                return Verdict.NO, self._summary(f"is more than {HOPS} CNAMEs from the first name")
        self._require_address([last])
        return Verdict.YES, self._summary(without_hops="is our own target")

    def _without_cname(self) -> tuple[Verdict, str]:
        """The end of a chain if addresses do not count, as they are the same for all names that point here."""
        with suppress(UnansweredError, TargetError):
            self._compare()
        return Verdict.NO, self._summary(
            "is not the target that proves ownership" if self.chain[1:] else "has no CNAME"
        )

    def _compare(self) -> tuple[Verdict, str]:
        """At the end of the CNAMEs (an ALIAS at the apex, flattening), every address must be one of ours."""
        unanswered: list[UnansweredError] = []
        foreign: set[str] = set()
        for family in FAMILIES:
            theirs, their_unanswered = self._addresses(self.chain[-1:], family)
            ours, our_unanswered = self._addresses(self.targets, family) if theirs else (theirs, [])
            if theirs - ours and not ours and not foreign:
                # If our targets have an address in neither family, there is nothing to compare with.
                self._require_address(self.targets)
            foreign |= set() if our_unanswered else theirs - ours
            unanswered += their_unanswered + (our_unanswered if theirs - ours else [])
            self.theirs.update(theirs)
            self.ours.update(ours)
        if unanswered and not foreign:
            raise unanswered[0]
        is_here = bool(self.theirs) and not foreign
        summary = (
            self._summary(without_hops=self._having(foreign)) if foreign else self._summary(self._having(self.theirs))
        )
        return Verdict.YES if is_here else Verdict.NO, summary

    def _require_address(self, targets: Sequence[Name]) -> None:
        """Raise TargetError or UnansweredError for targets without an address: the operator must act, so no customer is
        refused."""
        unanswered: list[UnansweredError] = []
        for family in FAMILIES:
            addresses, family_unanswered = self._addresses(targets, family)
            if addresses:
                return
            unanswered += family_unanswered
        raise unanswered[0] if unanswered else TargetError(f"our own target {listed(targets)} has no address")

    def _addresses(self, names: Iterable[Name], family: RdataType) -> tuple[set[str], list[UnansweredError]]:
        """The known addresses, and the queries without an answer."""
        addresses: set[str] = set()
        unanswered: list[UnansweredError] = []
        for name in names:
            try:
                addresses |= {record.to_text() for record in self.queries.resolve_target(name, family).rrset or ()}
            except NoSuchNameError:
                continue
            except UnansweredError as error:
                unanswered.append(error)
        return addresses, unanswered

    def _cname(self, name: Name) -> Name | None:
        rrset = self.queries.resolve(name, CNAME).rrset
        return name_of(rrset[0].to_text()) if rrset else None

    def _summary(self, predicate: str = "", *, without_hops: str = "") -> str:
        """The chain in words. predicate: what its last name is or has. without_hops: the same, but only for a name
        without a CNAME."""
        first, *hops = map(text_of, self.chain)
        clauses = [f"is a CNAME to {hop}" for hop in hops[:MAX_SHOWN]]
        clauses += [f"continues to {hops[-1]}"] if hops[MAX_SHOWN:] else []
        clauses += [predicate or without_hops] if predicate or not hops else []
        return f"{first} {', which '.join(clauses)}"

    def _having(self, addresses: set[str]) -> str:
        shown = sorted(addresses)[:MAX_SHOWN] + ["…"] * (len(addresses) > MAX_SHOWN)
        words = f"the address{'es' * (len(shown) > 1)} {', '.join(shown)}" if shown else "no address"
        return f"has {words}" if self.chain[1:] else f"has no CNAME and {words}"


def listed(targets: Sequence[Name]) -> str:
    """The first targets in words."""
    return " or ".join(map(text_of, targets[:MAX_SHOWN]))
