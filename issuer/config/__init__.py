"""Settings: the only reader of the environment."""

from issuer.config.cas import CaSettings
from issuer.config.settings import PREFIX, Settings, child_environment, load_settings
from issuer.config.values import parse_dns_server, parse_edge_address

__all__ = [
    "PREFIX",
    "CaSettings",
    "Settings",
    "child_environment",
    "load_settings",
    "parse_dns_server",
    "parse_edge_address",
]
