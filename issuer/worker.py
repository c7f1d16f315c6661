"""Entry point: `celery -A issuer.worker worker` and `celery -A issuer.worker beat`."""

from functools import cache

from issuer.celery_app import create_celery
from issuer.config import load_settings
from issuer.logs import configure_logs
from issuer.wiring import build_services

settings = load_settings()
configure_logs(settings.log_format, settings.log_level)
app = create_celery(settings, cache(lambda: build_services(settings)))
