#!/usr/bin/env bash
# josepy 2.2.0: JWK.load, given an account key as certbot keeps it (private_key.json, a JWK), returns a symmetric key whose
# secret is the text of the file, without an error. Whoever moves an account from certbot notices it only when the CA
# refuses the signature. JWK.json_loads reads the key. Seen: JWKOct from load, JWKRSA and JWKEC from json_loads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check josepy==2.2.0 cryptography==50.0.2
"$folder/venv/bin/python" - <<'PYTHON'
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwk import JWK, JWKEC, JWKRSA

keys = [JWKRSA(key=rsa.generate_private_key(65537, 2048)), JWKEC(key=ec.generate_private_key(ec.SECP256R1()))]
for key in keys:
    file = key.json_dumps()
    loaded, read = JWK.load(file.encode()), JWK.json_loads(file)
    print(f"{type(key).__name__}: load gives {type(loaded).__name__}, json_loads gives {type(read).__name__}")
    assert type(loaded).__name__ == "JWKOct", "this has changed"
    assert read == key
PYTHON
