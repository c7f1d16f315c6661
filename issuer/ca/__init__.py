"""One CA over ACME (RFC 8555). Read `client` first."""

from issuer.ca.client import AcmeAuthority

__all__ = ["AcmeAuthority"]
