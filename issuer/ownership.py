"""Does a name lead to us, and does it show whose it is?

A CNAME to a target that all accounts share does not: whoever asks first could have a name that somebody else has left
pointing here. Where the operator wants proof, DNS must show the token of the account.
"""

import secrets
from dataclasses import replace

from issuer.domain import Account
from issuer.ports import DnsFinding, HolderProof, Services, Verdict
from issuer.problem import Problem, ProblemType


def points_here(services: Services, name: str, account: Account | str) -> DnsFinding:
    """What DNS says of a name for an account, or for that of an id. Raises Problem where there is no such account."""
    if services.holder_proof is HolderProof.NONE:
        return services.resolver.points_here(name)
    own = token(services, account)
    if services.holder_proof is HolderProof.CNAME:
        return services.resolver.points_here(name, own)
    shown = services.resolver.shows(name, own)
    leading = services.resolver.points_here(name)
    if leading.verdict is Verdict.YES:
        return shown
    return (
        leading
        if shown.verdict is Verdict.YES
        else replace(leading, required_record=f"{leading.required_record} and {shown.required_record}")
    )


def token(services: Services, account: Account | str) -> str:
    """The token of an account, or of that of an id: made when it is first needed, where the account is older than
    tokens are. Of many callers at once, all get the one that stays."""
    account_id = account if isinstance(account, str) else account.id
    known = services.store.account(account_id) if isinstance(account, str) else account
    if known and not known.token:
        services.store.change_account(account_id, only_missing=True, token=new_token())
        known = services.store.account(account_id)
    if known is None:
        raise Problem(ProblemType.NOT_FOUND, account_id, message="there is no such account")
    return known.token


def new_token() -> str:
    """128 random bits as a label."""
    return secrets.token_hex(16)
