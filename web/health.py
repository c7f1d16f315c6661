"""Liveness and readiness of this process, and the metrics of all processes."""

from http import HTTPStatus

from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from issuer import presenters
from issuer.actions import health as actions
from issuer.actions import metrics
from issuer.problem import Problem
from web.errors import from_problem

health = Blueprint("health", __name__)


@health.get("/healthz", provide_automatic_options=False)
def alive() -> Response:
    """200: the process answers."""
    return jsonify({"message": "alive"})


@health.get("/readyz", provide_automatic_options=False)
def ready() -> Response:
    """200 if Redis can be written and stored keys can be decrypted, otherwise 503. What else does not work in the fleet
    is `degraded`."""
    readiness: actions.Readiness = current_app.extensions["readiness"]
    try:
        readiness.require()
        degraded = [presenters.check_body(check) for check in readiness.degraded()]
    except Problem as problem:
        return from_problem(problem, HTTPStatus.SERVICE_UNAVAILABLE)
    return jsonify({"message": "ready", "degraded": degraded} if degraded else {"message": "ready"})


@health.get("/metrics", provide_automatic_options=False)
def show_metrics() -> Response:
    """The metrics of all processes in Prometheus' text format, so Prometheus must scrape only one `web`. The process
    that is asked may be the last one that can tell that all others have ended."""
    current_app.extensions["readiness"].look()
    return Response(metrics.metrics_text(current_app.extensions["services"]), content_type=CONTENT_TYPE_LATEST)
