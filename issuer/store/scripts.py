"""The scripts in `lua/`: each is one atomic write."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from issuer.domain import WITH_VALUES, Due, Listing
from issuer.problem import Actor, ProblemType
from issuer.store.connection import redis_errors
from issuer.store.keys import OPEN, ROOT

FOLDER = Path(__file__).with_name("lua")

DAMAGED = f"index:{Listing.CODE}:{ProblemType.DAMAGED_RECORD}"
SHORT = [f"index:{listing}" for listing in Listing if listing not in {*WITH_VALUES, Listing.REJECTED}]
SHORT += [f"index:{Listing.MUST_ACT}:{actor}" for actor in Actor] + [DAMAGED]
"""The listings that a damaged record may be in, as far as they can be named: what it says of itself counts no more."""


def _set(members: list[str]) -> str:
    return "{" + ", ".join(f"['{member}'] = true" for member in members) + "}"


HEADER = (
    f"local ROOT = '{ROOT}'\n"
    f"local DUE = {_set([f'agenda:{due}' for due in Due])}\n"
    f"local DAMAGED = '{DAMAGED}'\n"
    f"local OPEN = {_set([f'agenda:{due}' for due in OPEN])}\n"
    f"local SHORT = {_set(SHORT)}\n"
)
SHARED = HEADER + (FOLDER / "shared.lua").read_text()
SCRIPTS = {path.stem: SHARED + path.read_text() for path in sorted(FOLDER.glob("*.lua")) if path.stem != "shared"}


DIGESTS = {name: hashlib.sha1(script.encode()).hexdigest() for name, script in SCRIPTS.items()}  # noqa: S324 - Redis'


def run(client: redis.Redis, script: str, keys: Mapping[str, str], args: Mapping[str, Any]) -> Any:
    """Run a script and return its result. The script sees keys and arguments (texts and numbers) by their names. Raises
    Problem(store-unavailable)."""
    passed = [*keys.values(), " ".join(keys), *(part for pair in args.items() for part in pair)]
    with redis_errors():
        try:
            return client.evalsha(DIGESTS[script], len(keys), *passed)
        except redis.exceptions.NoScriptError:  # a new server, or one that was restarted: nothing has been run
            return client.eval(SCRIPTS[script], len(keys), *passed)
