"""`issuer new-encryption-key`."""

import click

from issuer.keys import new_encryption_key


@click.command("new-encryption-key")
def new_key() -> None:
    """Print a new value for ISSUER_ENCRYPTION_KEYS."""
    click.echo(new_encryption_key())


COMMANDS = {"new-encryption-key": new_key}
