"""The command `issuer edge`: what is done on the hosts of TLS terminators."""

import grp
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from issuer.config import load_settings
from issuer.edge.sync import Folder, HAProxy, Refused, Reload, Sync
from issuer.wiring import build_services


class Group(click.ParamType[int]):
    """A group of this host, as its number."""

    name = "group"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of a name. Fails where there is no such group."""
        try:
            return value if isinstance(value, int) else grp.getgrnam(value).gr_gid
        except KeyError:
            self.fail(f"there is no group {value!r} on this host", param, ctx)


@click.group("edge")
def edge() -> None:
    """What the TLS terminators of this host serve."""


@edge.command("sync")
@click.option(
    "--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where the files go."
)
@click.option("--group", "gid", type=Group(), help="The group that may read them; by default nobody else may.")
@click.option("--reload", "command", help="Run after changes, for what reads certificates only then.")
@click.option("--haproxy", "at", type=click.Path(path_type=Path), help="The socket of HAProxy's Runtime API.")
@click.option("--once", is_flag=True, help="End when all is done; 1 when something could not be.")
def sync(*, directory: Path, gid: int | None, command: str | None, at: Path | None, once: bool) -> None:
    """Write each name's certificate and key below a directory for nginx or HAProxy, and go on with every change."""
    stop, path = threading.Event(), directory.absolute()
    services = build_services(load_settings())
    try:
        reload = Reload(command) if command else None
        with Folder(path, gid) as folder:
            haproxy = HAProxy(at, path) if at else None
            syncing = Sync(services, folder, say=click.echo, stop=stop, haproxy=haproxy, reload=reload)
            if once:
                sys.exit(0 if syncing.once() else 1)
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, lambda *_: stop.set())
            syncing.follow()
    except (Refused, OSError) as error:
        raise click.ClickException(str(error)) from None
