"""Does a customer's name lead to us?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dns.name import Name
from dns.rdatatype import AAAA, CNAME, A, RdataType
from dns.resolver import NXDOMAIN

from issuer.dns.queries import HOPS, Questions, UnansweredError, name_of, text_of
from issuer.ports import Verdict

FAMILIES = (A, AAAA)
SHOWN = 3
"""How many hops, addresses or targets are spelled out in an answer."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Whether a name leads to one of `targets`. chain: the name, then its hops. by_cname: by these alone."""

    questions: Questions
    targets: tuple[Name, ...]
    chain: list[Name]
    by_cname: bool = False

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict, and what was found in words."""
        try:
            return self._follow()
        except NXDOMAIN:
            return Verdict.NO, self._story("has no DNS record at all")
        except UnansweredError as error:
            return Verdict.UNKNOWN, f"{self._story()}; {error}" if self.chain[1:] else str(error)

    def _follow(self) -> tuple[Verdict, str]:
        while (last := self.chain[-1]) not in self.targets:
            hop = self._cname(last)
            if hop is None:
                return self._without_cname() if self.by_cname else self._compare()
            closes_loop = hop in self.chain
            self.chain.append(hop)
            if closes_loop:
                return Verdict.NO, self._story("closes a loop")
            if len(self.chain) - 1 > HOPS:
                return Verdict.NO, self._story(f"is more than {HOPS} CNAMEs away")
        self._require_address([last])
        return Verdict.YES, self._story(alone="is our own target")

    def _without_cname(self) -> tuple[Verdict, str]:
        """Where addresses do not count, as they are the same for all who lead here."""
        return Verdict.NO, self._story("is not what shows whose it is" if self.chain[1:] else "has no CNAME")

    def _compare(self) -> tuple[Verdict, str]:
        """With no CNAME left (an ALIAS at the apex, flattening), every address must be one of ours."""
        doubts: list[UnansweredError] = []
        seen: set[str] = set()
        for family in FAMILIES:
            theirs, doubts_here = self._addresses(self.chain[-1:], family)
            ours, our_doubts = self._addresses(self.targets, family) if theirs else (theirs, [])
            if strangers := theirs - ours:
                if not ours:
                    # In neither family: then there is nothing to compare with.
                    self._require_address(self.targets)
                if not our_doubts:
                    return Verdict.NO, self._story(alone=self._having(strangers))
                doubts += our_doubts
            doubts += doubts_here
            seen |= theirs
        if doubts:
            raise doubts[0]
        return Verdict.YES if seen else Verdict.NO, self._story(self._having(seen))

    def _require_address(self, targets: Sequence[Name]) -> None:
        """A target without an address is the operator's matter: unknown, no reason to refuse a customer."""
        doubts: list[UnansweredError] = []
        for family in FAMILIES:
            known, doubts_here = self._addresses(targets, family)
            if known:
                return
            doubts += doubts_here
        raise doubts[0] if doubts else UnansweredError(f"our own target {either(targets)} has no address")

    def _addresses(self, names: Iterable[Name], family: RdataType) -> tuple[set[str], list[UnansweredError]]:
        """The addresses that are known, and what could not be answered."""
        known: set[str] = set()
        doubts: list[UnansweredError] = []
        for name in names:
            try:
                known |= {record.to_text() for record in self.questions.ask_the_end(name, family).rrset or ()}
            except NXDOMAIN:
                continue
            except UnansweredError as error:
                doubts.append(error)
        return known, doubts

    def _cname(self, name: Name) -> Name | None:
        rrset = self.questions.ask(name, CNAME).rrset
        return name_of(rrset[0].to_text()) if rrset else None

    def _story(self, ending: str = "", *, alone: str = "") -> str:
        """The chain in words. ending: what its last name is or has; alone: the same, where there is no CNAME."""
        first, *hops = map(text_of, self.chain)
        clauses = [f"is a CNAME to {hop}" for hop in hops[:SHOWN]]
        clauses += [f"leads on to {hops[-1]}"] if hops[SHOWN:] else []
        clauses += [ending or alone] if ending or not hops else []
        return f"{first} {', which '.join(clauses)}"

    def _having(self, addresses: set[str]) -> str:
        shown = sorted(addresses)[:SHOWN] + ["…"] * (len(addresses) > SHOWN)
        listed = f"the address{'es' * (len(shown) > 1)} {', '.join(shown)}" if shown else "no address"
        return f"has {listed}" if self.chain[1:] else f"has no CNAME and {listed}"


def either(targets: Sequence[Name]) -> str:
    """The targets in words."""
    return " or ".join(map(text_of, targets[:SHOWN]))
