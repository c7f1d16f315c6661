"""`issuer edge`: the commands that run on the machine of a TLS terminator."""

import grp
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from issuer.actions.stored_keys import require_decryptable
from issuer.cli.context import load_services
from issuer.cli.output import plain, say
from issuer.edge.sync import Folder, HAProxy, Refused, Reload, Sync
from issuer.ports import Services
from issuer.problem import Problem, ProblemType


class Group(click.ParamType[int]):
    """A group of this machine, converted to its number."""

    name = "group"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of the group with a name. Fails if there is no such group."""
        try:
            return value if isinstance(value, int) else grp.getgrnam(value).gr_gid
        except KeyError:
            self.fail(f"there is no group {value!r} on this machine", param, ctx)


@click.group("edge")
def edge_group() -> None:
    """Provide certificates to the TLS terminators of this machine."""


@edge_group.command("sync")
@click.option(
    "--dir",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the certificates.",
)
@click.option("--group", "gid", type=Group(), help="Group that may read them.  [default: nobody else may]")
@click.option("--reload", "command", help="Command to run after changes, if the terminator only then reads its files.")
@click.option("--haproxy", "socket", type=click.Path(path_type=Path), help="Socket of HAProxy's Runtime API.")
@click.option("--once", is_flag=True, help="End when everything is written. The exit code is 1 if something failed.")
def sync(*, directory: Path, gid: int | None, command: str | None, socket: Path | None, once: bool) -> None:
    """Write the certificate and key of each domain below a directory, for nginx or HAProxy, and follow every change."""
    stop, path = threading.Event(), directory.absolute()
    services = load_services()
    _require_right_keys(services)
    try:
        reload = Reload(command) if command else None
        with Folder(path, gid) as folder:
            haproxy = HAProxy(socket, path) if socket else None
            syncing = Sync(services, folder, say=say, stop=stop, haproxy=haproxy, reload=reload)
            if once:
                sys.exit(0 if syncing.once() else 1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            syncing.follow()
    except (Refused, OSError) as error:
        raise click.ClickException(plain(error)) from None


def _require_right_keys(services: Services) -> None:
    """Raise Problem if stored keys cannot be decrypted. A store that is unavailable is waited for later on."""
    try:
        require_decryptable(services)
    except Problem as problem:
        if problem.type is not ProblemType.STORE_UNAVAILABLE:
            raise


COMMANDS = {"edge": edge_group}
