"""Keys and certificates.

`private` makes the key of a certificate and the CSR for it. `chains` builds the chain out of what the CA sends, and
reads from it what the product needs to know. `vault` encrypts what is stored. `placeholder` makes the certificate that
edges serve for names without one.
"""

from issuer.keys.chains import (
    CLOCK_SKEW_SECONDS,
    INVALID_INPUT_ERRORS,
    ExpiredError,
    as_certificate,
    certificate_id,
    deviations,
    is_complete,
    is_same_leaf,
    issuer_name,
    read_chain,
    require_whole,
    top_issuer,
    verify_bundle,
)
from issuer.keys.placeholder import PLACEHOLDER_NAME, is_placeholder, placeholder_bundle, self_signed
from issuer.keys.private import KeyType, as_pem, new_csr, new_key
from issuer.keys.vault import Vault, is_token, new_encryption_key, undecryptable

__all__ = [
    "CLOCK_SKEW_SECONDS",
    "INVALID_INPUT_ERRORS",
    "PLACEHOLDER_NAME",
    "ExpiredError",
    "KeyType",
    "Vault",
    "as_certificate",
    "as_pem",
    "certificate_id",
    "deviations",
    "is_complete",
    "is_placeholder",
    "is_same_leaf",
    "is_token",
    "issuer_name",
    "new_csr",
    "new_encryption_key",
    "new_key",
    "placeholder_bundle",
    "read_chain",
    "require_whole",
    "self_signed",
    "top_issuer",
    "undecryptable",
    "verify_bundle",
]
