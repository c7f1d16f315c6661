"""The settings of the processes of one machine, without a prefix: their number, their ports, their files."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from issuer.config.texts import refusals


class ProcessSettings(BaseSettings):
    """How `issuer run` starts the processes. An empty variable counts as not set."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(
        default=8000,
        ge=1,
        lt=2**16,
        description="The port that `web` listens on, on all addresses. Not set: 8000, on the loopback address only. "
        "`--bind` in `GUNICORN_CMD_ARGS` replaces it.",
    )
    web_concurrency: int = Field(default=2, ge=1, le=1000, description="The number of processes of `web`.")
    worker_concurrency: int = Field(default=4, ge=1, le=1000, description="The number of processes of `worker`.")
    renewal_concurrency: int = Field(default=4, ge=1, le=1000, description="The number of processes of `renewals`.")
    edge_directory: Path = Field(
        default=Path("/var/lib/issuer/edge"), description="The directory that `edge-sync` writes certificates to."
    )
    edge_group: str = Field(
        default="", description="The group that may read what `edge-sync` writes. Not set: nobody else may."
    )
    edge_haproxy: str = Field(
        default="",
        description="The socket of HAProxy's Runtime API, for `edge-sync`. Not set: HAProxy is not notified.",
    )


def load_process_settings() -> ProcessSettings:
    """The settings from the environment of this process. Raises SystemExit with one line for each wrong value."""
    try:
        return ProcessSettings()
    except ValidationError as error:
        raise SystemExit("\n".join(refusals(error, prefix=""))) from None
