"""`issuer settings`: all settings with their present values."""

from dataclasses import asdict

import click

from issuer.cli.output import as_json_option, say, show_json
from issuer.config import describe_settings, settings_markdown


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Print the text of docs/settings.md instead, without present values.")
@as_json_option
def settings(*, markdown: bool, as_json: bool) -> None:
    """Show every setting with its meaning, its default and its present value. Secrets are not shown."""
    if markdown:
        click.echo(settings_markdown(), nl=False)
        return
    found = describe_settings()
    if as_json:
        show_json([asdict(setting) for setting in found])
        return
    for setting in found:
        say(setting.variable, style="bold")
        say(f"{setting.meaning}{f' ({setting.values})' if setting.values else ''}", indent=2)
        say(f"default: {setting.default}", indent=2)
        say(f"present: {setting.present}", indent=2)


COMMANDS = {"settings": settings}
