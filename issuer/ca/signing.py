"""The signatures of requests to a CA (RFC 8555 §6.2).

The `acme` library's JWS reads a nonce as base64url and writes it anew, which changes some nonces. Here it is sent as it
came.
"""

import json
from dataclasses import dataclass

from acme import messages
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256
from josepy.jwk import JWK


@dataclass(frozen=True, slots=True)
class Signer:
    """The account key that signs, and the account URL (kid) once it is known."""

    key: JWK
    url: str | None = None


def jws(payload: bytes, signer: Signer, *, url: str, nonce: str | None = None) -> bytes:
    """A flattened JWS by ES256 (RFC 7515 §7.2.2). Its header names the account by its URL, or else by its public key.
    nonce: None only for a JWS inside another one (RFC 8555 §7.3.5)."""
    header = {"alg": "ES256", "url": url}
    if nonce is not None:
        header["nonce"] = nonce
    account = {"kid": signer.url} if signer.url else {"jwk": signer.key.public_key().to_partial_json()}
    protected, content = (encode_b64jose(part) for part in (json.dumps(header | account).encode(), payload))
    signature = encode_b64jose(ES256.sign(signer.key.key, f"{protected}.{content}".encode()))
    return json.dumps({"protected": protected, "payload": content, "signature": signature}).encode()


def binding(key: JWK, key_id: str, hmac_key: str, new_account_url: str) -> dict[str, object]:
    """The external account binding: it ties a new account to one that the operator has with the CA (RFC 8555
    §7.3.4)."""
    directory = messages.Directory({"newAccount": new_account_url})
    bound = messages.ExternalAccountBinding.from_data(key.public_key(), key_id, hmac_key.rstrip("="), directory)
    return {"externalAccountBinding": bound}
