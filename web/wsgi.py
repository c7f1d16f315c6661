"""Entry point: `gunicorn web.wsgi:app`."""

from functools import cache

from issuer.celery_app import create_celery
from issuer.config import load_settings
from issuer.wiring import build_services
from web.app import create_app

settings = load_settings()
services = build_services(settings)
app = create_app(services, create_celery(settings, cache(lambda: services)))
