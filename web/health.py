"""Liveness and readiness, for whoever starts and watches this process, and the metrics of all processes."""

from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from issuer import metrics
from issuer.domain import Due
from issuer.ports import Services

health = Blueprint("health", __name__)


@health.get("/healthz", provide_automatic_options=False)
def alive() -> Response:
    """The process answers."""
    return jsonify({"message": "alive"})


@health.get("/readyz", provide_automatic_options=False)
def ready() -> Response:
    """The process can do its work: the store answers, else 503."""
    services: Services = current_app.extensions["services"]
    services.store.ping()
    return jsonify({"message": "ready"})


@health.get("/metrics", provide_automatic_options=False)
def counted() -> Response:
    """What Prometheus takes: all that was counted by all processes, so one of them is to be asked."""
    services: Services = current_app.extensions["services"]
    unconfirmed, _ = services.store.names(Due.EDGE_CONFIRMATION, limit=1)
    shown = metrics.exposition(services.counters.values(), unconfirmed=unconfirmed)
    return Response(shown, content_type=CONTENT_TYPE_LATEST)
