"""The command `issuer`: what an operator types."""

from issuer.cli.main import main

__all__ = ["main"]
