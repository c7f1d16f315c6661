"""`issuer completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_ISSUER_COMPLETE"
"""The variable by which click is asked for completions of the command `issuer`."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script by which a shell completes commands and options.

    \b
    bash  source <(issuer completion bash)
    zsh   source <(issuer completion zsh)
    fish  issuer completion fish | source
    """  # noqa: D301 - click's mark for lines that are not rewrapped
    kind = get_completion_class(shell)
    assert kind
    script = kind(ctx.find_root().command, {}, "issuer", VARIABLE)
    click.echo(script.source_template % script.source_vars())


COMMANDS = {"completion": completion}
