"""`issuer run`: the one definition of each process of the product, which Procfile, image and systemd units use."""

import runpy
import sys
from importlib.util import find_spec

import click

from issuer.actions.startup import await_startable
from issuer.config import ProcessSettings, load_process_settings, load_settings
from issuer.logs import configure_logs, start_reporting
from issuer.wiring import build_services

PROCESSES = ("web", "worker", "renewals", "beat", "edge-sync")


@click.command("run")
@click.argument("process", type=click.Choice(PROCESSES))
def run(process: str) -> None:
    """Run one process of the product, in this process: signals reach it directly.

    \b
    web        HTTP: the API, challenges, and requests of TLS terminators (gunicorn)
    worker     issuances that somebody is waiting for (Celery)
    renewals   renewals, bulk requests, and queries to other servers (Celery)
    beat       starts what is due (Celery)
    edge-sync  writes certificates for the TLS terminator of this machine

    'issuer settings' shows all settings.
    """  # noqa: D301 - click's mark for lines that are not rewrapped
    settings = load_settings()
    module, *arguments = command_line(process, load_process_settings())
    if find_spec(module) is None:
        raise click.ClickException(f"the Python package {module} is not installed")
    configure_logs(settings.log_format, settings.log_level)
    start_reporting(**settings.reporting)
    # `web` starts without Redis, and answers 503.
    await_startable(build_services(settings), is_patient=process != "web")
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)  # as `python -m` does


def command_line(process: str, settings: ProcessSettings) -> list[str]:
    """A process as `python -m` takes it: a module and its arguments. Raises KeyError if there is no such process."""
    lines = {
        "web": _web(settings),
        "worker": _consumer("worker", "interactive,housekeeping", settings.worker_concurrency),
        "renewals": _consumer("renewals", "bulk,renewal,lookup", settings.renewal_concurrency),
        "beat": ["celery", "-A", "issuer.worker", "beat"],
        "edge-sync": _edge_sync(settings),
    }
    return lines[process]


def _web(settings: ProcessSettings) -> list[str]:
    """The arguments for gunicorn, which reads PORT and GUNICORN_CMD_ARGS itself."""
    return [
        *("gunicorn", "--worker-class", "web.server.JsonWorker", "--workers", str(settings.web_concurrency)),
        *("--threads", "8", "--preload", "--no-control-socket", "--logger-class", "web.server.Logs", "web.wsgi:app"),
    ]


def _consumer(name: str, queues: str, concurrency: int) -> list[str]:
    """The arguments for a Celery worker, which takes messages from its queues in turn. A test checks that each queue
    has a process. Without its heartbeat, as Celery would try to send one until a silent Redis answers, deaf to SIGTERM.
    """
    return [
        *("celery", "-A", "issuer.worker", "worker", "--queues", queues, "--concurrency", str(concurrency)),
        *("--hostname", f"{name}@%h", "--without-mingle", "--without-gossip", "--without-heartbeat"),
    ]


def _edge_sync(settings: ProcessSettings) -> list[str]:
    options = [("--group", settings.edge_group), ("--haproxy", settings.edge_haproxy)]
    set_options = [argument for option, value in options if value for argument in (option, value)]
    return ["issuer.cli", "edge", "sync", "--dir", str(settings.edge_directory), *set_options]


COMMANDS = {"run": run}
