"""The scripts of `scripts.lua`: each is one write that nobody comes between."""

from pathlib import Path
from typing import Any

import redis

from issuer.store.connection import redis_errors

SHARED, *_SCRIPTS = Path(__file__).with_name("scripts.lua").read_text().split("-- script: ")[1:]
SCRIPTS = {name: SHARED.partition("\n")[2] + text for name, _, text in (one.partition("\n") for one in _SCRIPTS)}


def run(client: redis.Redis, script: str, keys: list[str], *args: str | float) -> Any:
    """What a script answers. Raises Problem(store-unavailable)."""
    with redis_errors():
        # The text goes along each time: no first call that is refused because the server does not know it yet.
        return client.eval(SCRIPTS[script], len(keys), *keys, *args)
