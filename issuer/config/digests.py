"""Digests of settings, by which processes are compared without showing a value."""

import hashlib
import json

from pydantic_settings import BaseSettings

OF_ONE_MACHINE = frozenset({"redis_url", "broker_url", "identity_file", "acme_ca_bundle", "dns_servers"})
LOGS = frozenset({"log_format", "log_level"})
SECRETS = frozenset({"encryption_keys", "edge_token", "alarm_url"})


def digests(settings: BaseSettings, prefix: str) -> dict[str, str]:
    """A short digest of each setting that has not its default value, by variable. Left out are secrets, also within
    other settings, and what may differ from machine to machine."""
    values = settings.model_dump(mode="json", exclude_defaults=True, exclude=set(OF_ONE_MACHINE | LOGS | SECRETS))
    return {f"{prefix}{name.upper()}": digest(value) for name, value in values.items()}


def digest(value: object) -> str:
    """A short digest of plain JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
