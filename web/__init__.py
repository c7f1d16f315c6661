"""The HTTP front end: a thin skin over `issuer.actions.eligibility` and `issuer.pipeline`. The contract is in `api`."""
