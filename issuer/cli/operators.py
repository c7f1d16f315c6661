"""`issuer operator-key`: who may log in to the operators' page."""

import click

from issuer import presenters
from issuer.actions import operators
from issuer.cli.context import format_time, load_services
from issuer.cli.output import as_json_option, say, show_json, show_table


@click.group("operator-key")
def operator_key() -> None:
    """Make and revoke the keys with which operators log in to the page at `/` of `web`."""


@operator_key.command("create")
@click.argument("name")
@as_json_option
def create(name: str, *, as_json: bool) -> None:
    """Make a key for the operator NAME and print it. The key is shown only this once."""
    key = operators.create_key(load_services(), name)
    if as_json:
        show_json({"operator": name, "key": key})
    else:
        click.echo(key)


@operator_key.command("list")
@as_json_option
def show_all(*, as_json: bool) -> None:
    """List the names of all keys, when each was made, and when it was last used."""
    keys = operators.list_keys(load_services())
    if as_json:
        show_json([presenters.operator_key_body(key) for key in keys])
        return
    rows = [
        (key.name, format_time(key.created_at), format_time(key.last_used_at) if key.last_used_at else "never")
        for key in keys
    ]
    show_table(("name", "created", "last used"), rows)


@operator_key.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the key of the operator NAME. Whoever is logged in with it is logged out at once."""
    operators.revoke_key(load_services(), name)
    say(f"the operator key {name} is revoked")


COMMANDS = {"operator-key": operator_key}
