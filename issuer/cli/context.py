"""Functions that several commands use: the services, and the format of a time."""

from datetime import UTC, datetime

from issuer.config import load_settings
from issuer.logs import configure_logs
from issuer.ports import Services
from issuer.wiring import build_services


def load_services() -> Services:
    """The services for the present settings. Raises SystemExit with one line for each wrong setting."""
    settings = load_settings()
    configure_logs(settings.log_format, "WARNING")  # what a command does, it prints
    return build_services(settings)


def format_time(at: float) -> str:
    """A time in epoch seconds as text, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
