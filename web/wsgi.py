"""Entry point: `gunicorn web.wsgi:app`."""

from issuer.actions.startup import know_store, warn_of_unknown_settings
from issuer.actions.stored_keys import refuse_wrong_keys
from issuer.celery_app import create_celery
from issuer.config import load_settings
from issuer.logs import start_reporting
from issuer.pipeline import CeleryQueue
from issuer.ports import Services
from issuer.wiring import build_services
from web.app import create_app

settings = load_settings()
start_reporting(**settings.reporting)
services: Services = build_services(settings, queue=CeleryQueue(create_celery(settings, lambda: services)))
warn_of_unknown_settings(services)
know_store(services)
refuse_wrong_keys(services)
app = create_app(services)
