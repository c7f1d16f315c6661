"""Entry point: `celery -A issuer.worker worker` and `celery -A issuer.worker beat`."""

from functools import cache

from celery import Celery

from issuer.actions.startup import know_store, warn_of_unknown_settings
from issuer.actions.stored_keys import refuse_wrong_keys
from issuer.celery_app import create_celery
from issuer.config import load_settings
from issuer.logs import configure_logs, start_reporting
from issuer.pipeline import CeleryQueue
from issuer.ports import Services
from issuer.wiring import build_services

settings = load_settings()
configure_logs(settings.log_format, settings.log_level)
start_reporting(**settings.reporting)


@cache
def services() -> Services:
    """Built once, before the process forks: nothing is connected before it is used."""
    return build_services(settings, queue=CeleryQueue(app))


app: Celery = create_celery(settings, services)
warn_of_unknown_settings(services())
know_store(services())
refuse_wrong_keys(services())
