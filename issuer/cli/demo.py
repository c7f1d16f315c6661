"""`issuer demo`."""

from pathlib import Path

import click

from issuer.cli.output import plain
from issuer.sandbox import SandboxError
from issuer.sandbox import demo as demonstration

FOLDER = Path(".demo")


@click.command("demo")
@click.option("--once", is_flag=True, help="End as soon as the certificate has been checked.")
@click.option("--domain", help="Domain to issue a certificate for.  [default: a new one below .example]")
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file with the CA's root certificate, if this machine does not trust it.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of web, which the CA asks.  [default: a free one]")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Directory for the demo's data.",
)
def demo(*, once: bool, domain: str | None, root: Path | None, port: int | None, folder: Path) -> None:
    """Show the way from a POST to a certificate, with real parts on this machine.

    It needs pebble and pebble-challtestsrv (Debian: apt-get install pebble), and redis-server or the Python package
    fakeredis.
    """
    wishes = demonstration.Wishes(once=once, domain=domain, root=root, port=port, folder=folder.absolute())
    try:
        demonstration.run(wishes)
    except (SandboxError, OSError) as error:
        raise click.ClickException(plain(error)) from None


COMMANDS = {"demo": demo}
