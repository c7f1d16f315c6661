"""The JWS of a request (RFC 8555 §6.2 to §6.5), and a JWS inside one (§7.3.4, §7.3.5)."""

import json
import secrets
from dataclasses import dataclass
from typing import Any, Self

from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwa import ES256, HS256
from josepy.jwk import JWKEC

from tests.scripted.answers import Page, Refused, malformed
from tests.scripted.switches import Switches


class Nonces:
    """Issued and not used yet. stale: those of answers to POSTs."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._open: set[str] = set()
        self.stale: set[str] = set()

    def new(self, *, is_stale: bool = False) -> str:
        nonce = self._switches.nonces() if self._switches.nonces else encode_b64jose(secrets.token_bytes(16))
        self._open.add(nonce)
        if is_stale:
            self.stale.add(nonce)
        return nonce

    def use(self, nonce: object) -> None:
        if str(nonce) not in self._open:
            raise Refused(400, "badNonce", "this nonce was not issued, or has been used")
        self._open.remove(str(nonce))
        if nonce in self.stale and self._switches.stale_nonces:
            raise Page(500)


@dataclass(frozen=True)
class Jws:
    """A flattened JWS, parsed but not verified. signed: the bytes that its signature covers."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    @classmethod
    def parsed(cls, text: bytes | str | dict[str, Any]) -> Self:
        document = text if isinstance(text, dict) else _object(text)
        if set(document) != {"protected", "payload", "signature"}:
            raise malformed("a flattened JWS has protected, payload and signature, and no unprotected header")
        try:
            protected, payload, signature = (
                decode_b64jose(document[part]) for part in ("protected", "payload", "signature")
            )
        except (JoseError, TypeError, AttributeError):
            raise malformed("the JWS is not base64url without padding") from None
        signed = f"{document['protected']}.{document['payload']}".encode()
        return cls(_object(protected), payload, signed, signature)

    def json(self) -> dict[str, Any]:
        return _object(self.payload)

    def new_key(self) -> JWKEC:
        """The key in its header (jwk), P-256."""
        key = public_key(self.header.get("jwk"))
        if "kid" in self.header:
            raise malformed("jwk and kid exclude each other")
        return key

    def require_url(self, url: str) -> None:
        if self.header.get("url") != url:
            raise Refused(403, "unauthorized", f"it is signed for {self.header.get('url')}, and was sent to {url}")

    def require_signature(self, key: JWKEC) -> None:
        if self.header.get("alg") != "ES256":
            raise Refused(400, "badSignatureAlgorithm", "sign with ES256", algorithms=["ES256"])
        if not ES256.verify(key.key, self.signed, self.signature):
            raise malformed("the signature is wrong")

    def require_mac(self, key: str) -> None:
        """key: as the CA issues it, base64url."""
        if self.header.get("alg") != "HS256" or "nonce" in self.header:
            raise malformed("an external account binding is an HS256 without a nonce")
        if not HS256.verify(decode_b64jose(key), self.signed, self.signature):
            raise Refused(403, "unauthorized", "the external account binding is made with another key")


def public_key(jwk: object) -> JWKEC:
    try:
        key = JWKEC.from_json(jwk)
    except (JoseError, TypeError, AttributeError, KeyError, ValueError):
        raise Refused(400, "badPublicKey", "there is no EC key in it") from None
    if key.to_partial_json()["crv"] != "P-256":
        raise Refused(400, "badPublicKey", "it is not a key of the curve P-256")
    return key.public_key()


def thumbprint(key: JWKEC) -> str:
    """RFC 7638."""
    return encode_b64jose(key.thumbprint())


def _object(text: bytes | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise malformed("it is not a JSON object")
    return value
