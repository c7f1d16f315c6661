"""The settings. No other package reads the environment."""

from issuer.config.cas import CaSettings
from issuer.config.environment import PREFIX, child_environment, environment_without_settings
from issuer.config.processes import ProcessSettings, load_process_settings
from issuer.config.reference import SettingReference, describe_settings, settings_markdown
from issuer.config.settings import Settings, load_settings, load_settings_to_imagine
from issuer.config.values import parse_dns_server, parse_edge_address

__all__ = [
    "PREFIX",
    "CaSettings",
    "ProcessSettings",
    "SettingReference",
    "Settings",
    "child_environment",
    "describe_settings",
    "environment_without_settings",
    "load_process_settings",
    "load_settings",
    "load_settings_to_imagine",
    "parse_dns_server",
    "parse_edge_address",
    "settings_markdown",
]
