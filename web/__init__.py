"""The HTTP front end: a thin skin over `issuer.checks` and `issuer.pipeline`. The contract is in `api`."""
