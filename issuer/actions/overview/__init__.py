"""What an operator sees first: what is wrong, who must act, and when it goes on; what ends, and what is renewed when.

All of it comes from the sizes of indexes and from short ranges of them: a million domains take as long as a thousand.
`needs` is about what is wrong, `histograms` about the coming days, `fleet` about processes and CAs; `domains` finds one
domain or some.
"""

from issuer.actions.overview.domains import SEARCHED, look_up, records, search
from issuer.actions.overview.fleet import CaView, DueView, FleetView, authorities, due, faults, fleet
from issuer.actions.overview.histograms import Histogram, Limit, expiries, renewals
from issuer.actions.overview.needs import Ending, Need, at_risk, ending, needs, next_attempt_at

__all__ = [
    "SEARCHED",
    "CaView",
    "DueView",
    "Ending",
    "FleetView",
    "Histogram",
    "Limit",
    "Need",
    "at_risk",
    "authorities",
    "due",
    "ending",
    "expiries",
    "faults",
    "fleet",
    "look_up",
    "needs",
    "next_attempt_at",
    "records",
    "renewals",
    "search",
]
