"""Does a customer's name point here?"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dns.name import Name
from dns.rdatatype import AAAA, CNAME, A, RdataType

from issuer.dns.queries import HOPS, NoSuchNameError, Queries, UnansweredError, hop_of, text_of
from issuer.ports import Verdict

FAMILIES = (A, AAAA)
MAX_SHOWN = 3
"""How many hops, addresses or targets a summary shows."""
MISSING = "does not exist in DNS"


class TargetError(Exception):
    """Our own targets have no address, or none that is known, so that nothing can be compared with them. error: why it
    is unknown."""

    def __init__(self, words: str, error: UnansweredError | None = None) -> None:
        super().__init__(words)
        self.error = error


@dataclass(frozen=True, slots=True)
class CnameLookup:
    """Whether a name points to one of `targets`. chain: the name, then its hops. by_cname: addresses do not count.
    theirs, ours: the addresses of its end and those of the targets, as far as they have been asked for. strays: theirs
    that are not ours. asked: the addresses, or the lack of an answer, by name and family."""

    queries: Queries
    targets: tuple[Name, ...]
    chain: list[Name]
    by_cname: bool = False
    theirs: set[str] = field(default_factory=set)
    ours: set[str] = field(default_factory=set)
    strays: set[str] = field(default_factory=set)
    asked: dict[tuple[Name, RdataType], set[str] | UnansweredError] = field(default_factory=dict)

    @property
    def is_elsewhere(self) -> bool:
        """After the verdict: whether the name has addresses, and none of them is ours."""
        return bool(self.theirs) and not self.theirs & self.ours

    def verdict(self) -> tuple[Verdict, str]:
        """Yes or no, and a summary of what was found. Raises UnansweredError or TargetError if it is unknown."""
        try:
            return self._follow()
        except NoSuchNameError:
            return Verdict.NO, self._summary("has no DNS record at all")

    def unknown(self, reason: str) -> str:
        """A summary without a verdict."""
        return f"{self._summary()}; {reason}" if self.chain[1:] else reason

    def target_addresses(self) -> set[str]:
        """The known addresses of our targets, of both families."""
        return set().union(*(self._addresses(self.targets, family)[0] for family in FAMILIES))

    def usable_targets(self) -> tuple[Name, ...]:
        """The targets that have an address, so that nobody is told to create a record that leads nowhere. Raises
        TargetError if none has one."""
        usable = [target for target in self.targets if any(self._addresses([target], each)[0] for each in FAMILIES)]
        if not usable:
            self._require_address(self.targets)
        return tuple(usable)

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
        failed: list[UnansweredError] = []
        uncompared: list[UnansweredError] = []
        for family in FAMILIES:
            theirs, their_failed = self._addresses(self.chain[-1:], family)
            ours, our_failed = self._addresses(self.targets, family) if theirs else (theirs, [])
            if theirs - ours and not ours and not self.strays:
                # If our targets have an address in neither family, there is nothing to compare with.
                self._require_address(self.targets)
            if our_failed and theirs - ours:
                uncompared += our_failed
            else:
                self.strays.update(theirs - ours)
            failed += their_failed
            self.theirs.update(theirs)
            self.ours.update(ours)
        if self.strays:
            is_mixed = bool(self.theirs & self.ours)
            words = self._having(self.strays, beside_ours=is_mixed)
            return Verdict.NO, self._summary(words if is_mixed else "", without_hops=words)
        if uncompared:
            raise TargetError(str(uncompared[0]), uncompared[0])
        if failed and (not self.theirs or failed[0].is_silent):
            # Else it is a server that answers uselessly to one of the two types (RFC 4074); CAs use the other, too.
            raise failed[0]
        return Verdict.YES if self.theirs else Verdict.NO, self._summary(self._having(self.theirs))

    def _require_address(self, targets: Sequence[Name]) -> None:
        """Raise TargetError for targets without an address: the operator must act, so no customer is refused."""
        unanswered: list[UnansweredError] = []
        for family in FAMILIES:
            addresses, family_unanswered = self._addresses(targets, family)
            if addresses:
                return
            unanswered += family_unanswered
        if unanswered:
            raise TargetError(str(unanswered[0]), unanswered[0])
        raise TargetError(f"our own target {listed(targets)} {'has no address' if self._exists(targets) else MISSING}")

    def _exists(self, targets: Sequence[Name]) -> bool:
        """Whether one of them has any record at all."""
        for target in targets:
            try:
                self.queries.resolve(target, A)
            except NoSuchNameError:
                continue
            except UnansweredError:
                pass
            return True
        return False

    def _addresses(self, names: Iterable[Name], family: RdataType) -> tuple[set[str], list[UnansweredError]]:
        """The known addresses, and the queries without an answer."""
        addresses: set[str] = set()
        unanswered: list[UnansweredError] = []
        for name in names:
            if (name, family) not in self.asked:
                self.asked[name, family] = self._ask(name, family)
            answer = self.asked[name, family]
            if isinstance(answer, UnansweredError):
                unanswered.append(answer)
            else:
                addresses |= answer
        return addresses, unanswered

    def _ask(self, name: Name, family: RdataType) -> set[str] | UnansweredError:
        try:
            return {record.to_text() for record in self.queries.resolve_target(name, family).rrset or ()}
        except NoSuchNameError:
            return set()
        except UnansweredError as error:
            return error

    def _cname(self, name: Name) -> Name | None:
        try:
            hop = hop_of(self.queries.resolve(name, CNAME).response, name)
        except (NoSuchNameError, UnansweredError) as error:
            hop = error.hop if isinstance(error, NoSuchNameError) else None
            return hop or self._cname_by_addresses(name, error)
        if hop is None and self.by_cname:  # if addresses count, they are looked at anyway
            with suppress(NoSuchNameError, UnansweredError):
                return self._cname_by_addresses(name, NoSuchNameError(text_of(name)))
        return hop

    def _cname_by_addresses(self, name: Name, error: NoSuchNameError | UnansweredError) -> Name | None:
        """The CNAME of a name whose servers do not answer that question as they should, as some load balancers: it
        precedes the addresses in an answer (RFC 1034 §4.3.2). Raises the error if there is no address either."""
        failed: list[UnansweredError] = []
        is_empty = False
        for family in FAMILIES:
            try:
                answer = self.queries.resolve(name, family)
            except UnansweredError as another:
                failed.append(another)
            except NoSuchNameError as another:
                if another.hop:
                    return another.hop
            else:
                if answer.response.answer:
                    return hop_of(answer.response, name)
                is_empty = True
        if isinstance(error, UnansweredError):
            raise error
        if failed:
            raise failed[0]
        if is_empty:
            return None
        raise error

    def _summary(self, predicate: str = "", *, without_hops: str = "") -> str:
        """The chain in words. predicate: what its last name is or has. without_hops: the same, but only for a name
        without a CNAME."""
        first, *hops = map(text_of, self.chain)
        clauses = [f"is a CNAME to {hop}" for hop in hops[:MAX_SHOWN]]
        clauses += [f"continues to {hops[-1]}"] if hops[MAX_SHOWN:] else []
        clauses += [predicate or without_hops] if predicate or not hops else []
        return f"{first} {', which '.join(clauses)}"

    def _having(self, addresses: set[str], *, beside_ours: bool = False) -> str:
        shown = sorted(addresses)[:MAX_SHOWN] + ["…"] * (len(addresses) > MAX_SHOWN)
        words = f"the address{'es' * (len(shown) > 1)} {', '.join(shown)}" if shown else "no address"
        words = f", beside ours, {words}" if beside_ours else f" {words}"
        return f"has{words}" if self.chain[1:] else f"has no CNAME and{words}"


def listed(targets: Sequence[Name]) -> str:
    """The first targets in words."""
    return " or ".join(map(text_of, targets[:MAX_SHOWN]))
