"""Encryption at rest."""

from base64 import urlsafe_b64decode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from issuer.problem import Problem, ProblemType

TOKEN_FRAME = 1 + 8 + 16 + 32
"""The bytes of a Fernet token beside its blocks of 16: version, time, IV and HMAC."""


class Vault:
    """Encryption at rest (Fernet): the first key encrypts, all keys decrypt, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        """keys: Fernet keys, URL-safe base64. Raises ValueError for an invalid key, without repeating it."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise ValueError("an encryption key is not 32 bytes in URL-safe base64") from None

    def encrypt(self, secret: bytes) -> str:
        """The Fernet token of a secret; only our keys decrypt it."""
        return self._fernet.encrypt(secret).decode()

    def decrypt(self, token: str, what: str = "a stored key") -> bytes:
        """The secret of a token. what: which one it is, in words. Raises Problem(undecryptable) if no key decrypts it;
        then the operator must act, and nothing that is stored may be replaced."""
        try:
            return self._fernet.decrypt(token)
        except (InvalidToken, ValueError):
            raise undecryptable(what) from None


def undecryptable(what: str) -> Problem:
    """The Problem of a secret that cannot be decrypted. what: which one it is, in words."""
    cause = f"{what} cannot be decrypted with the present ISSUER_ENCRYPTION_KEYS"
    hint = (
        "the operator must add the key that encrypted it to ISSUER_ENCRYPTION_KEYS of every process again; if it is "
        "lost for good, 'An encryption key is lost' in docs/runbook.md has the way out"
    )
    return Problem(ProblemType.UNDECRYPTABLE, what, cause=cause, hint=hint)


def is_token(text: str) -> bool:
    """Whether a text can be a Fernet token at all, of whatever key; False if it is cut off."""
    try:
        token = urlsafe_b64decode(text.encode())
    except ValueError:
        return False
    return token[:1] == b"\x80" and len(token) > TOKEN_FRAME and (len(token) - TOKEN_FRAME) % 16 == 0


def new_encryption_key() -> str:
    """A new key for `Vault`."""
    return Fernet.generate_key().decode()
