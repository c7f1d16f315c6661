"""`issuer settings`: all settings with their present values."""

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from issuer.config import describe_settings, settings_markdown


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Print the text of docs/settings.md instead, without present values.")
def settings(*, markdown: bool) -> None:
    """Show every setting with its meaning, its default and its present value. Secrets are not shown."""
    if markdown:
        click.echo(settings_markdown(), nl=False)
        return
    console = Console(highlight=False)
    for setting in describe_settings():
        values = f" ({setting.values})" if setting.values else ""
        console.print(setting.variable, style="bold", markup=False)
        console.print(Padding(Text(f"{setting.meaning}{values}"), (0, 0, 0, 2), expand=False))
        console.print(f"  default: {setting.default}", markup=False, soft_wrap=True)
        console.print(f"  present: {setting.present}", markup=False, soft_wrap=True)


COMMANDS = {"settings": settings}
