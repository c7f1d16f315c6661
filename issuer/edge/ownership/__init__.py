"""Does a name point here, and does it prove which account it belongs to?

A CNAME to a target that all accounts share proves nothing: the first account that asks could get a name that belongs to
somebody else and still points here. If the operator requires proof, DNS must contain the account's token.

Behind a proxy (CDN) of the customer, DNS shows the proxy's addresses. Such a name is asked through the name itself.
"""

import secrets
from dataclasses import replace

from issuer.domain import Account
from issuer.ports import DnsFinding, HolderProof, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType


def points_here(
    services: Services, name: str, account: Account | str, *, had_certificate: bool, is_caller_waiting: bool = False
) -> DnsFinding:
    """Whether a name points here for an account, given as such or by its id. Raises Problem(not-found) if there is no
    such account, and Problem(store-unavailable).

    If all of its addresses are foreign, they may be those of a proxy before this platform. Then a probe finds out
    whether requests to the name arrive here: that is enough for a name that had a certificate and, if the operator
    accepts new names behind proxies, for any. is_caller_waiting: the verdict is unknown if too many callers wait for
    probes.
    """
    proof_by, own = services.settings.holder_proof, ""
    if proof_by is not HolderProof.NONE:
        own = token(services, account)
    pointing = services.resolver.points_here(name, own if proof_by is HolderProof.CNAME else "")
    if pointing.verdict is Verdict.NO and pointing.is_elsewhere:
        pointing = _through_name(
            services, name, pointing, had_certificate=had_certificate, is_caller_waiting=is_caller_waiting
        )
    elif pointing.fault is ProblemType.TARGET_DNS and had_certificate and not (is_caller_waiting or pointing.is_bogus):
        pointing = _despite_targets(services, name, pointing)
    if proof_by is not HolderProof.TXT:
        return pointing
    proof = services.resolver.has_proof(name, own)
    if proof.verdict is Verdict.YES:
        return pointing
    if pointing.verdict is Verdict.YES:
        return proof
    if proof.verdict is Verdict.UNKNOWN or pointing.must_act is Actor.PLATFORM:
        # It may well be there, so nobody is told to create it; nor beside a hint that the owner need do nothing.
        return pointing
    is_told = pointing.advice or pointing.verdict is Verdict.NO
    return replace(
        pointing,
        required_record=f"{pointing.required_record} and {proof.required_record}",
        advice=f"{pointing.hint}, and {proof.hint}" if is_told else "",
        records=(*pointing.records, *proof.records),
    )


def _through_name(
    services: Services, name: str, pointing: DnsFinding, *, had_certificate: bool, is_caller_waiting: bool
) -> DnsFinding:
    """What a probe makes of a name with foreign addresses.

    A proxy hides the CNAME that proves whose the name is, so a probe does not decide if that is required. A new name
    that is redirected to another one here needs no certificate: its visitors never get here by it. One that had a
    certificate keeps it, as a CA follows the redirect too.
    """
    is_hidden_proof = services.settings.holder_proof is HolderProof.CNAME
    decides = not is_hidden_proof and (had_certificate or services.settings.accept_proxied_names)
    probe = services.probe.arrives_here_for_caller if is_caller_waiting else services.probe.arrives_here
    answer = probe(name, within_name=not had_certificate)
    if answer and answer.verdict is Verdict.YES:
        summary = f"{pointing.summary}, but requests to it arrive here"
        if decides:
            return replace(pointing, verdict=Verdict.YES, summary=summary)
        if pointing.missing_targets:
            return _misses_target(pointing, summary)
        off = "a proxy (CDN) is on: switch it off for this name"
        shows = f", so that DNS shows the record {pointing.required_record}"
        so = f"; if that is not enough: {pointing.advice}" if pointing.advice else shows
        return replace(pointing, summary=summary, advice=f"{off}{so}")
    if answer is None or answer.is_by_proxy:
        pointing = replace(pointing, former="")
        advice = f"{pointing.hint}; if DNS has it, a proxy (CDN) hides it: switch that off for this name"
        pointing = replace(pointing, advice=advice)
    if not decides:
        return pointing
    if answer is None:
        return replace(pointing, verdict=Verdict.UNKNOWN)
    return replace(pointing, summary=f"{pointing.summary}; {answer.summary}")


def _despite_targets(services: Services, name: str, pointing: DnsFinding) -> DnsFinding:
    """What a probe makes of a name that cannot be compared with our targets, as the setting may be mistyped: one that
    had a certificate keeps it where requests arrive here. A proof by a CNAME needs the targets."""
    if services.settings.holder_proof is HolderProof.CNAME:
        return pointing
    if services.probe.arrives_here(name, within_name=False).verdict is not Verdict.YES:
        return pointing
    return replace(pointing, verdict=Verdict.YES, summary=f"{pointing.summary}, but requests to {name} arrive here")


def _misses_target(pointing: DnsFinding, summary: str) -> DnsFinding:
    """A name with foreign addresses at which we answer, while one of our own targets has no address: it may well be
    that one which the setting misspells."""
    missing = ", ".join(pointing.missing_targets)
    return replace(
        pointing,
        verdict=Verdict.UNKNOWN,
        summary=f"{summary}, and our own target {missing} has no address in DNS",
        required_record="",
        records=(),
        former="",
        advice="the operator must correct ISSUER_CNAME_TARGETS, or give each host name in it an A or AAAA record in "
        "DNS; the owner of the domain need do nothing",
        must_act=Actor.PLATFORM,
        fault=ProblemType.TARGET_DNS,
    )


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
