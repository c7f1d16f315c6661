"""The HTTP front end: a thin layer over `issuer.actions`."""
