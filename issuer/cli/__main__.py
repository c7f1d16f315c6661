"""`python -m issuer.cli` is the command `issuer`."""

from issuer.cli import main

main(prog_name="issuer")
