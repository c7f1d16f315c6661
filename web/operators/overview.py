"""`/`: what needs somebody first, then the domains by status, what ends and what is renewed."""

from dataclasses import dataclass

from flask import Response

from issuer.actions import listing
from issuer.actions import overview as actions
from issuer.actions.overview import Histogram, Need
from issuer.ports import StatusCounts
from issuer.problem import Actor
from web.operators.blueprint import operators, render, services
from web.operators.charts import chart
from web.operators.formats import number

LIST = "/operators/domains"
TITLES = (
    (Actor.PLATFORM, "You, the platform, must act"),
    (Actor.OWNER, "Owners of domains must act"),
    (Actor.NOBODY, "Goes on by itself"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """What waits for the same people. who: as in `Actor`."""

    who: str
    title: str
    needs: list[Need]


@operators.get("/", provide_automatic_options=False)
def show_overview() -> Response:
    """The first page."""
    needs = actions.needs(services())
    groups = [Group(actor.value, title, [need for need in needs if need.must_act is actor]) for actor, title in TITLES]
    expiries, renewals = actions.expiries(services()), actions.renewals(services())
    return render(
        "overview.html",
        verdict=_verdict(needs),
        besides=_besides(needs),
        yours=_count(needs, Actor.PLATFORM),
        groups=groups,
        statuses=_statuses(listing.counts(services())),
        at_risk=actions.at_risk(services()),
        ending=actions.ending(services()),
        expiries=chart(expiries),
        expiries_told=_told(expiries, "have ended"),
        renewals=chart(renewals),
        renewals_told=_told(renewals, "are due now"),
    )


def _verdict(needs: list[Need]) -> str:
    """Whether this operator must act, in one sentence."""
    yours = _count(needs, Actor.PLATFORM)
    return f"{yours} {'thing needs' if yours == 1 else 'things need'} you" if yours else "Nothing needs you"


def _besides(needs: list[Need]) -> str:
    """For whom all else waits, in one sentence."""
    owners, nobody = _count(needs, Actor.OWNER), _count(needs, Actor.NOBODY)
    told = [f"{owners} {'waits' if owners == 1 else 'wait'} for owners of domains"] if owners else []
    told += (
        [f"{nobody} {'goes' if nobody == 1 else 'go'} on by {'itself' if nobody == 1 else 'themselves'}"]
        if nobody
        else []
    )
    return f"Of other causes, {' and '.join(told)}." if told else "There are no other problems."


def _count(needs: list[Need], actor: Actor) -> int:
    return sum(need.must_act is actor for need in needs)


def _statuses(counts: StatusCounts) -> list[tuple[str, int, str]]:
    """The statuses, how many domains have each, and where these are listed."""
    return [
        ("active", counts.active, ""),
        ("processing", counts.processing, f"{LIST}?status=processing"),
        ("error", counts.error, f"{LIST}?status=error"),
        ("expired", counts.expired, f"{LIST}?status=expired"),
    ]


def _told(histogram: Histogram, before: str) -> str:
    """A histogram in words."""
    told = [f"{number(sum(histogram.days))} in the next {len(histogram.days)} days, {number(histogram.later)} later"]
    told += [f"{number(histogram.before)} {before}"] if histogram.before else []
    over = sum(bar.is_over for bar in chart(histogram).bars)
    told += [f"on {over} {'day' if over == 1 else 'days'} more than a CA allows"] if over else []
    return "; ".join(told)
