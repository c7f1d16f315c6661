"""`/operators/fleet`: which processes run, what waits, and how the CAs are."""

from flask import Response

from issuer.actions import overview as actions
from web.operators.blueprint import operators, render, services

PATH = "/operators/fleet"


@operators.get(PATH, provide_automatic_options=False)
def show_fleet() -> Response:
    """Processes, queues, due lists and CAs."""
    fleet = actions.fleet(services())
    return render(
        "fleet.html",
        checks=fleet.checks,
        consumers=fleet.consumers,
        diagnosis=fleet.diagnosis,
        due=actions.due(services()),
        cas=actions.authorities(services()),
    )
