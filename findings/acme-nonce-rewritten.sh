#!/usr/bin/env bash
# acme 5.9.0 (with josepy 2.2.0) decodes a Replay-Nonce to bytes and encodes these again when it signs the next request.
# Where the last letter of the nonce carries bits that stand for no byte, another nonce is sent than the CA has given, and
# the CA answers badNonce, on each request that takes such a nonce. RFC 8555 (6.5.1) lets a client check the letters of a
# nonce, and send it as it came.
# Seen: 3 of the 5 nonces below come back changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check acme==5.9.0 josepy==2.2.0 cryptography==50.0.2
"$folder/venv/bin/python" - <<'PYTHON'
import json
from acme import jws
from cryptography.hazmat.primitives.asymmetric import ec
from josepy import ES256
from josepy.b64 import b64decode
from josepy.jwk import JWKEC

key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


def sent_for(nonce: str) -> str:
    stored = jws.Header._fields["nonce"].decode(nonce)  # as ClientNetwork keeps it
    signed = jws.JWS.sign(b"{}", key=key, alg=ES256, nonce=stored, url="https://ca.example/new-order")
    return json.loads(b64decode(json.loads(signed.json_dumps())["protected"]))["nonce"]


given = ["oFvnlFP1wIhRlYS2jTaXbQ", "oFvnlFP1wIhRlYS2jTaXbR", "Zm9v", "Zm9vYh", "Zm9vYmF"]
found = [sent_for(nonce) for nonce in given]
for nonce, sent in zip(given, found):
    print(f"{nonce:24} is sent as {sent:24} {'changed' if sent != nonce else 'the same'}")
assert [a != b for a, b in zip(given, found)] == [False, True, False, True, True], "this has changed"
PYTHON
