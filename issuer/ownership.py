"""Does a name point here, and does it prove which account it belongs to?

A CNAME to a target that all accounts share proves nothing: the first account that asks could get a name that belongs to
somebody else and still points here. If the operator requires proof, DNS must contain the account's token.
"""

import secrets
from dataclasses import replace

from issuer.domain import Account
from issuer.ports import DnsFinding, HolderProof, Services, Verdict
from issuer.problem import Problem, ProblemType


def points_here(services: Services, name: str, account: Account | str) -> DnsFinding:
    """What DNS says about a name for an account, given as such or by its id. Raises Problem(not-found) if there is no
    such account."""
    if services.settings.holder_proof is HolderProof.NONE:
        return services.resolver.points_here(name)
    own = token(services, account)
    if services.settings.holder_proof is HolderProof.CNAME:
        return services.resolver.points_here(name, own)
    proof = services.resolver.has_proof(name, own)
    pointing = services.resolver.points_here(name)
    if pointing.verdict is Verdict.YES:
        return proof
    if proof.verdict is Verdict.YES:
        return pointing
    advice = f"{pointing.advice}, and {proof.hint}" if pointing.advice else ""
    return replace(pointing, required_record=f"{pointing.required_record} and {proof.required_record}", advice=advice)


def token(services: Services, account: Account | str) -> str:
    """The token of an account, given as such or by its id. An account from before tokens existed gets one at the first
    call; concurrent callers all get the same one. Raises Problem(not-found)."""
    account_id = account if isinstance(account, str) else account.id
    known = services.store.account(account_id) if isinstance(account, str) else account
    if known and not known.token:
        services.store.change_account(account_id, only_missing=True, token=new_token())
        known = services.store.account(account_id)
    if known is None:
        raise Problem(ProblemType.NOT_FOUND, account_id, message="there is no such account")
    return known.token


def new_token() -> str:
    """128 random bits as a DNS label."""
    return secrets.token_hex(16)
