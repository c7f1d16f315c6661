"""What the commands share: the services that the environment describes, and the form of a moment."""

from datetime import UTC, datetime

from issuer.config import load_settings
from issuer.logs import configure_logs
from issuer.ports import Services
from issuer.wiring import build_services


def load_services() -> Services:
    """The services of the present settings. A wrong setting ends the process, with one line that names it."""
    settings = load_settings()
    configure_logs(settings.log_format, "WARNING")  # what a command does, it prints
    return build_services(settings)


def format_time(at: float) -> str:
    """A moment in epoch seconds, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
