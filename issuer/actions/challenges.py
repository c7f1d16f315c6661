"""What a CA asks for while it validates a name."""

import re

from issuer.ports import Services

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)


def key_authorization(services: Services, token: str) -> str | None:
    """The response to an HTTP-01 challenge (RFC 8555 §8.3); None for a token that is not known or not valid."""
    return services.store.key_authorization(token) if TOKEN.fullmatch(token) else None
