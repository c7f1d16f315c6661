"""The services of commands that start something: with the queue, so that workers hear of it at once."""

from issuer.celery_app import create_celery
from issuer.config import load_settings
from issuer.logs import configure_logs
from issuer.pipeline import CeleryQueue
from issuer.ports import Services
from issuer.wiring import build_services


def load_services() -> Services:
    """The services for the present settings. If the broker is unavailable, nothing fails: workers hear of it later.
    Raises SystemExit with one line for each wrong setting."""
    settings = load_settings()
    configure_logs(settings.log_format, "ERROR")
    services: Services = build_services(settings, queue=CeleryQueue(create_celery(settings, lambda: services)))
    return services
