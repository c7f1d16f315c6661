"""`issuer operator-key`: who may log in to the operators' page."""

import click
from rich.console import Console
from rich.table import Table

from issuer.actions import operators
from issuer.cli.context import format_time, load_services


@click.group("operator-key")
def operator_key() -> None:
    """Make and revoke the keys with which operators log in to the page at `/` of `web`."""


@operator_key.command("create")
@click.argument("name")
def create(name: str) -> None:
    """Make a key for the operator NAME and print it. The key is shown only this once."""
    click.echo(operators.create_key(load_services(), name))


@operator_key.command("list")
def show_all() -> None:
    """List the names of all keys, when each was made, and when it was last used."""
    table = Table("name", "created", "last used")
    for key in operators.list_keys(load_services()):
        used = format_time(key.last_used_at) if key.last_used_at else "never"
        table.add_row(key.name, format_time(key.created_at), used)
    Console().print(table)


@operator_key.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the key of the operator NAME. Whoever is logged in with it is logged out at once."""
    operators.revoke_key(load_services(), name)
    click.echo(f"the operator key {name} is revoked")


COMMANDS = {"operator-key": operator_key}
