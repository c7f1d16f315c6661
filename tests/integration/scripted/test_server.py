"""The scripted CA refuses what an ACME server must refuse; otherwise tests with it would prove nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwa import ES256, HS256
from josepy.jwk import JWKEC

from tests.scripted import ScriptedCa

NAME = "track.customer.example"
WANTED = {"identifiers": [{"type": "dns", "value": NAME}]}
MAC_KEY = encode_b64jose(b"0123456789abcdef")
JOSE = "application/jose+json"
Signature = Callable[[bytes], bytes]


def new_key() -> JWKEC:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


def jwk(key: JWKEC) -> dict[str, Any]:
    return key.public_key().to_json()


def sealed(header: dict[str, Any], payload: object, sign: Signature) -> dict[str, str]:
    """A flattened JWS with any header. A payload of "" is an empty one."""
    content = b"" if payload == "" else json.dumps(payload).encode()
    protected, body = encode_b64jose(json.dumps(header).encode()), encode_b64jose(content)
    return {"protected": protected, "payload": body, "signature": encode_b64jose(sign(f"{protected}.{body}".encode()))}


def by(key: JWKEC) -> Signature:
    return lambda data: ES256.sign(key.key, data)


@dataclass
class Client:
    """A client that signs any request."""

    ca: ScriptedCa
    key: JWKEC
    kid: str = ""

    def header(self, path: str, **other: Any) -> dict[str, Any]:
        nonce = urllib3.request("HEAD", f"{self.ca.origin}/newNonce").headers["Replay-Nonce"]
        who = {"kid": self.kid} if self.kid else {"jwk": jwk(self.key)}
        header = {"alg": "ES256", "nonce": nonce, "url": f"{self.ca.origin}{path}"} | who | other
        return {name: value for name, value in header.items() if value is not None}

    def send(self, path: str, jws: object, content_type: str = JOSE) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": content_type}
        return urllib3.request(
            "POST", self.ca.origin + path, body=json.dumps(jws).encode(), headers=headers, retries=False
        )

    def post(self, path: str, payload: object = "", **other: Any) -> urllib3.BaseHTTPResponse:
        return self.send(path, sealed(self.header(path, **other), payload, by(self.key)))

    def registered(self) -> "Client":
        answer = self.post("/newAccount", {"termsOfServiceAgreed": True})
        assert answer.status == 201
        self.kid = answer.headers["Location"]
        return self


@pytest.fixture
def client(ca: ScriptedCa) -> Client:
    return Client(ca, new_key()).registered()


def outcome(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    """The status, and the type of the problem if it is one."""
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, json.loads(answer.data).get("type", "").removeprefix("urn:ietf:params:acme:error:")


def test_a_signature_of_another_key_is_refused(client: Client) -> None:
    jws = sealed(client.header("/newOrder"), WANTED, by(new_key()))
    assert outcome(client.send("/newOrder", jws)) == (400, "malformed")
    jws = sealed(client.header("/newOrder"), WANTED, by(client.key)) | {"payload": encode_b64jose(b"{}")}
    assert outcome(client.send("/newOrder", jws)) == (400, "malformed")
    assert not client.ca.orders.made


def test_a_nonce_is_good_for_one_request(client: Client) -> None:
    jws = sealed(client.header("/newOrder"), WANTED, by(client.key))
    first = client.send("/newOrder", jws)
    assert first.status == 201
    again = client.send("/newOrder", jws)
    assert outcome(again) == (400, "badNonce")
    assert client.post("/newOrder", WANTED, nonce=again.headers["Replay-Nonce"]).status == 201
    for nonce in ("bm9uY2U", None, 7, ["x"]):
        assert outcome(client.post("/newOrder", WANTED, nonce=nonce)) == (400, "badNonce")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"url": "http://127.0.0.1/newOrder"}, (403, "unauthorized")),
        ({"url": None}, (403, "unauthorized")),
        ({"alg": "RS256"}, (400, "badSignatureAlgorithm")),
        ({"alg": "none"}, (400, "badSignatureAlgorithm")),
        ({"kid": "http://127.0.0.1/account/1"}, (400, "accountDoesNotExist")),
        ({"kid": None}, (400, "malformed")),
        ({"kid": None, "jwk": jwk(new_key())}, (400, "malformed")),
        ({"jwk": jwk(new_key())}, (400, "malformed")),
    ],
)
def test_a_header_that_does_not_fit_is_refused(client: Client, header, expected) -> None:
    assert outcome(client.post("/newOrder", WANTED, **header)) == expected


def test_a_request_that_is_not_signed_is_refused(client: Client) -> None:
    jws = sealed(client.header("/newOrder"), WANTED, by(client.key))
    assert outcome(client.send("/newOrder", jws, "application/json")) == (415, "malformed")
    assert outcome(client.send("/newOrder", jws | {"header": {}})) == (400, "malformed")
    assert outcome(client.send("/newOrder", WANTED)) == (400, "malformed")
    order = client.post("/newOrder", WANTED)
    got = urllib3.request("GET", order.headers["Location"], retries=False)
    assert outcome(got) == (405, "malformed")


def test_what_belongs_to_an_account_is_not_shown_to_another(client: Client) -> None:
    order = client.post("/newOrder", WANTED)
    paths = [url.removeprefix(client.ca.origin) for url in (order.headers["Location"], *order.json()["authorizations"])]
    other = Client(client.ca, new_key()).registered()
    for path in [*paths, "/account/1", "/orders/1", "/finalize/1", "/challenge/1"]:
        assert outcome(other.post(path)) == (403, "unauthorized"), path
    assert client.post("/orders/1").json() == {"orders": [order.headers["Location"]]}


def test_an_account_is_found_by_its_key_until_it_is_deactivated(client: Client) -> None:
    def find_account(key: JWKEC) -> urllib3.BaseHTTPResponse:
        return Client(client.ca, key).post("/newAccount", {"onlyReturnExisting": True})

    assert (find_account(client.key).status, find_account(client.key).headers["Location"]) == (200, client.kid)
    assert outcome(find_account(new_key())) == (400, "accountDoesNotExist")
    path = client.kid.removeprefix(client.ca.origin)
    assert client.post(path, {"contact": ["mailto:a@b.example"]}).json()["contact"] == ["mailto:a@b.example"]
    assert client.post(path, {"status": "deactivated"}).json()["status"] == "deactivated"
    assert outcome(find_account(client.key)) == (403, "unauthorized")
    assert outcome(client.post("/newOrder", WANTED)) == (403, "unauthorized")
    assert len(client.ca.accounts.made) == 1


@pytest.mark.parametrize(
    ("kid", "mac_key", "bound", "expected"),
    [
        ("us", MAC_KEY, "own", (201, "")),
        ("us", encode_b64jose(b"another"), "own", (403, "unauthorized")),
        ("them", MAC_KEY, "own", (403, "unauthorized")),
        ("us", MAC_KEY, "another", (400, "malformed")),
    ],
)
def test_an_external_account_binding_is_verified(ca: ScriptedCa, kid, mac_key, bound, expected) -> None:
    ca.eab_keys = {"us": MAC_KEY}
    client, payload = Client(ca, new_key()), {"termsOfServiceAgreed": True}
    assert urllib3.request("GET", ca.directory_url).json()["meta"]["externalAccountRequired"] is True
    assert outcome(client.post("/newAccount", payload)) == (403, "externalAccountRequired")
    header = {"alg": "HS256", "kid": kid, "url": f"{ca.origin}/newAccount"}
    key = client.key if bound == "own" else new_key()
    binding = sealed(header, jwk(key), lambda data: HS256.sign(decode_b64jose(mac_key), data))
    assert outcome(client.post("/newAccount", payload | {"externalAccountBinding": binding})) == expected


def test_a_key_is_rolled_over_with_the_consent_of_both(client: Client) -> None:
    new, holder = new_key(), Client(client.ca, new_key()).registered()

    def rolled(key: JWKEC, signer: JWKEC, *, old: JWKEC = client.key, account: str = client.kid):
        header = {"alg": "ES256", "jwk": jwk(key), "url": f"{client.ca.origin}/keyChange"}
        return client.post("/keyChange", sealed(header, {"account": account, "oldKey": jwk(old)}, by(signer)))

    assert outcome(rolled(new, client.key)) == (400, "malformed")
    assert outcome(rolled(new, new, old=new)) == (400, "malformed")
    assert outcome(rolled(new, new, account=holder.kid)) == (400, "malformed")
    taken = rolled(holder.key, holder.key)
    assert (*outcome(taken), taken.headers["Location"]) == (409, "malformed", holder.kid)
    assert client.post("/newOrder", WANTED).status == 201
    assert rolled(new, new).status == 200
    assert outcome(client.post("/newOrder", WANTED)) == (400, "malformed")
    client.key = new
    assert client.post("/newOrder", WANTED).status == 201


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, (400, "malformed")),
        ({"identifiers": [{"type": "ip", "value": "192.0.2.1"}]}, (400, "unsupportedIdentifier")),
        ({"identifiers": [{"type": "dns", "value": "*.example.com"}]}, (400, "rejectedIdentifier")),
        (WANTED | {"profile": "longlived"}, (400, "invalidProfile")),
        (WANTED | {"profile": "shortlived"}, (201, "")),
        (WANTED | {"replaces": "unknown.AAAA"}, (404, "malformed")),
    ],
)
def test_an_order_is_checked(client: Client, payload, expected) -> None:
    client.ca.profiles, client.ca.renewal_window = {"shortlived": "six days"}, (1.0, 2.0)
    answer = client.post("/newOrder", payload)
    assert outcome(answer) == expected
    assert answer.json().get("profile") == payload.get("profile") or answer.status >= 400


def test_a_certificate_is_signed_for_the_names_that_were_proved_alone(client: Client) -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    def finalized(path: str, name: str, key: ec.EllipticCurvePrivateKey = key) -> urllib3.BaseHTTPResponse:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
        return client.post(path, {"csr": encode_b64jose(csr.public_bytes(Encoding.DER))})

    client.post("/newOrder", WANTED)
    assert outcome(finalized("/finalize/1", NAME)) == (403, "orderNotReady")
    client.ca.authorization_status, client.ca.alternates = "valid", True
    client.post("/newOrder", WANTED)
    assert outcome(client.post("/finalize/2", {"csr": "x"})) == (400, "badCSR")
    assert outcome(finalized("/finalize/2", "other.customer.example")) == (400, "badCSR")
    assert outcome(finalized("/finalize/2", NAME, client.key.key._wrapped)) == (400, "badCSR")
    assert finalized("/finalize/2", NAME).json()["status"] == "valid"
    chains = [client.post(path) for path in ("/certificate/2", "/certificate/2/1")]
    leaf, other = (x509.load_pem_x509_certificates(one.data)[0] for one in chains)
    assert leaf == other
    assert client.ca.certificates.log == [(NAME, leaf.serial_number)]
    assert f'<{client.ca.origin}/certificate/2/1>;rel="alternate"' in chains[0].headers["Link"]
    der = {"certificate": encode_b64jose(leaf.public_bytes(Encoding.DER))}
    stranger = Client(client.ca, new_key())
    assert outcome(stranger.post("/revokeCert", der)) == (403, "unauthorized")
    assert Client(client.ca, JWKEC(key=key)).post("/revokeCert", der).status == 200
    assert outcome(client.post("/revokeCert", der)) == (400, "alreadyRevoked")
