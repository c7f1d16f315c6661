"""What is stored: whether it is ours, and can be decrypted."""

from issuer.actions.stored_keys import require_decryptable
from issuer.ports import Check, CheckResult, Services
from issuer.problem import Problem, ProblemType

OK, FAILED, UNKNOWN = CheckResult


def keys(services: Services) -> list[Check]:
    """Whether ISSUER_ENCRYPTION_KEYS of this process decrypts the stored keys."""
    try:
        require_decryptable(services)
    except Problem as problem:
        if problem.type is not ProblemType.UNDECRYPTABLE:
            raise
        cause = f"ISSUER_ENCRYPTION_KEYS does not decrypt {problem.detail}"
        return [Check("encryption-keys", FAILED, cause, hint=problem.hint)]
    return [Check("encryption-keys", OK, "ISSUER_ENCRYPTION_KEYS decrypts the stored keys")]


def identity(services: Services) -> list[Check]:
    """Whether the store is the one that was used before."""
    try:
        services.store.require_own()
    except Problem as problem:
        if problem.type is not ProblemType.FOREIGN_STORE:
            raise
        return [Check("store", FAILED, f"{problem.message}: {problem.detail}".rstrip(": "), hint=problem.hint)]
    return [Check("store", OK, "the store is the one that was used before")]


def damaged(services: Services) -> list[Check]:
    """Whether all records can be read, as far as is known."""
    count = services.store.damaged()
    if not count:
        return [Check("records", OK, "no record is known to be damaged")]
    hint = "'issuer list --code damaged-record' lists them; 'A record is damaged' in docs/runbook.md says what to do"
    return [
        Check("records", FAILED, f"{count:,} records cannot be read, so nothing renews their certificates", hint=hint)
    ]
