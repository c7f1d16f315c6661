"""The identity of a store: a random id, which tells it from an empty one and from another one.

It is made once, when a store is first used, and is also kept outside: in the memory of each process, in a file
(`ISSUER_IDENTITY_FILE`), and on each edge. Whoever knows one refuses to write to a store that has none or another:
after a FLUSHALL, with a backup from before identities, or with the URL of another database, nothing is issued until the
operator has restored the data or accepted the store (`issuer store adopt`).
"""

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import redis
import structlog

from issuer.ports import STORE_ID, StoreIdentity
from issuer.problem import Problem, ProblemType
from issuer.store.keys import IDENTITY
from issuer.store.scripts import run

log = structlog.get_logger(__name__)


class RedisIdentity:
    """Part of `RedisStore`."""

    _redis: redis.Redis
    _identity_file: Path | None
    _known = ""
    """The id that this process knows, once it has seen the store."""
    _is_refused = False
    _seen_at = -1e9
    _cannot_keep = False

    def identity(self, known: str, *, marks: bool = False) -> StoreIdentity:
        """See `ports.Store`."""
        args = {"known": known, "new": secrets.token_hex(16), "marks": "1" if marks else ""}
        id_, lost, replaces = run(self._redis, "identify", {"identity": IDENTITY}, args)
        return StoreIdentity(id_, lost, frozenset(replaces.split()))

    def require_own(self, *, max_age_seconds: float = 0) -> None:
        """See `ports.Store`."""
        if time.monotonic() < self._seen_at + max_age_seconds:
            return
        known = self._known or self._kept()
        found = self.identity(known, marks=True)
        if not found.is_own(known) and not (found.id and found.id == self._kept()):
            self._refuse(found.refusal(known))
        self._remember(found.id)

    def adopt(self, instead_of: str = "") -> str:
        """See `ports.Store`."""
        known = " ".join(filter(STORE_ID.fullmatch, (instead_of, self._file_text())))
        args = {"instead_of": known, "new": secrets.token_hex(16)}
        adopted: str = run(self._redis, "adopt", {"identity": IDENTITY}, args)
        self._remember(adopted)
        return adopted

    def _guarded(self, script: str, keys: Mapping[str, str], args: Mapping[str, Any], *, is_first: bool = False) -> Any:
        """Run a script, which refuses to if the store is not ours. is_first: it may be the first one, which does not
        make a new store ours yet. Raises Problem(foreign-store)."""
        if is_first and not self._knows_one:
            return run(self._redis, script, keys, args)
        if not self._known or self._is_refused:
            self.require_own()
        try:
            return run(self._redis, script, {**keys, "identity": IDENTITY}, {**args, "identity": self._known})
        except Problem as problem:
            if problem.type is not ProblemType.FOREIGN_STORE:
                raise
        self.require_own()  # perhaps the operator has just accepted it
        return run(self._redis, script, {**keys, "identity": IDENTITY}, {**args, "identity": self._known})

    def _require_known(self) -> None:
        """Raise Problem(foreign-store) if another store is known."""
        if self._knows_one:
            self.require_own()

    @property
    def _knows_one(self) -> bool:
        return bool(self._known) or self._is_refused or self._identity_file is not None

    def _refuse(self, problem: Problem) -> NoReturn:
        if not self._is_refused:
            log.error(
                "foreign store: nothing is issued, API keys that it does not have get 401, edges serve what they hold",
                reason=problem.detail,
                hint=problem.hint,
            )
        self._is_refused = True
        self._seen_at = -1e9
        raise problem

    def _remember(self, id_: str) -> None:
        if self._is_refused or self._known not in {"", id_}:
            log.warning("the store is ours again, or has been accepted", identity=id_)
        if self._known != id_ or self._is_refused:
            self._keep(id_)
        self._known, self._is_refused, self._seen_at = id_, False, time.monotonic()

    def _kept(self) -> str:
        """The id in the file; empty if there is none. Raises Problem(foreign-store) if the file is damaged."""
        text = self._file_text()
        if text and not STORE_ID.fullmatch(text):
            self._refuse(
                Problem(
                    ProblemType.FOREIGN_STORE,
                    f"{self._identity_file} does not contain an identity",
                    hint="restore the file, or accept the store as it is: issuer store adopt",
                )
            )
        return text

    def _file_text(self) -> str:
        if self._identity_file is None:
            return ""
        try:
            return self._identity_file.read_text(errors="replace").strip() or "empty"
        except FileNotFoundError:
            return ""
        except OSError as error:
            self._warn_once("cannot be read", error)
            return ""

    def _keep(self, id_: str) -> None:
        """Write the file, whole or not at all."""
        if self._identity_file is None or self._file_text() == id_:
            return
        new = self._identity_file.parent / f".{self._identity_file.name}.{secrets.token_hex(4)}"
        try:
            self._identity_file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w") as file:
                file.write(f"{id_}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._identity_file)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            self._warn_once("cannot be written", error)

    def _warn_once(self, what: str, error: Exception) -> None:
        if not self._cannot_keep:
            path, reason = str(self._identity_file), type(error).__name__
            log.warning("the file of ISSUER_IDENTITY_FILE is of no use", what=what, path=path, error=reason)
        self._cannot_keep = True
