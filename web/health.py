"""Liveness and readiness, for whoever starts and watches this process."""

from flask import Blueprint, Response, current_app, jsonify

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
