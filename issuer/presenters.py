"""Records as plain JSON values, for the API, the command line and a page. The words are the contract's."""

from datetime import UTC, datetime
from typing import Any

from issuer.domain import Account, Record, Rejection, Status, Step, must_act, status
from issuer.events import Event
from issuer.ports import Check, CheckResult, DamagedRecord, OperatorKey, Refusal
from issuer.problem import Problem, ProblemType

LAST_INSTANT = 253_402_300_799
WITHDRAWN = "withdrawn"
"""What an operator reads of a domain that its account has withdrawn, instead of a status."""
DELAYED = "the CA is not ready yet and has asked to wait until the next attempt"


def instant(at: float) -> str:
    """A time (epoch seconds) in ISO 8601, UTC, to the second; one that no calendar has is its last or first."""
    return datetime.fromtimestamp(min(max(at, 0), LAST_INSTANT), UTC).isoformat(timespec="seconds")


def status_body(record: Record, now: float) -> dict[str, Any]:
    """The contract's status answer, computed for `now`."""
    word, certificate, problem = status(record, now), record.domain.certificate, problem_of(record, now)
    message, error = _words(word, str(problem) if problem else None)
    body = {
        "status": word.value,
        "message": message,
        "error": error,
        "certificate": certificate.chain if certificate else None,
    }
    if certificate:
        body["not_after"] = instant(certificate.not_after)
    if word is Status.ACTIVE:
        return body
    if problem:
        body |= problem_body(problem)
    next_at = next_attempt_at(record)
    if next_at and next_at > now:
        body["next_attempt_at"] = instant(next_at)
    return body


def problem_of(record: Record, now: float) -> Problem | None:
    """The last problem of a record as it is told at `now`: who must act depends on the end of the certificate, and the
    hint says how to go on if nothing more is tried by itself."""
    problem, actor = record.issuance.problem, must_act(record, now)
    if problem is None or actor is None or record.domain.is_withdrawn:
        return problem
    if record.issuance.step is Step.FAILED and next_attempt_at(record) is None:
        name = record.domain.name
        again = f"no further attempt is made by itself: when that is done, PUT or POST /v2/x509/{name} starts one"
        return problem.changed(actor=actor, hint=f"{problem.hint}; {again}" if problem.hint else again)
    return problem.changed(actor=actor)


def problem_body(problem: Problem) -> dict[str, Any]:
    """What a status and every error say of a problem, beside `message`: the members that apply."""
    members = {
        "code": problem.type.value,
        "cause": problem.cause,
        "detail": problem.detail,
        "hint": problem.hint,
        "must_act": problem.actor.value,
    }
    return {name: value for name, value in members.items() if value}


def check_body(check: Check) -> dict[str, Any]:
    """What was checked, and what was found: the members that apply."""
    members = {
        "code": check.code,
        "result": check.result.value,
        "subject": check.subject,
        "cause": check.cause,
        "hint": check.hint,
        "must_act": "" if check.result is CheckResult.OK else check.must_act.value,
        "since": instant(check.since) if check.since is not None else "",
        "records": list(check.records),
    }
    return {name: value for name, value in members.items() if value}


def refusal_body(refusal: Refusal) -> dict[str, Any]:
    """What a request was refused for: the members that apply."""
    members = {
        "code": refusal.code,
        "cause": refusal.cause,
        "hint": refusal.hint,
        "must_act": refusal.must_act,
        "at": instant(refusal.at),
    }
    return {name: value for name, value in members.items() if value}


def next_attempt_at(record: Record) -> float | None:
    """When the domain's certificate is tried for next (epoch seconds); None: at once, or not planned."""
    return record.issuance.next_try_at if record.issuance.is_open else record.renewal_start_at


def entry(record: Record | DamagedRecord, now: float) -> dict[str, Any]:
    """A line of a list of domains."""
    if isinstance(record, DamagedRecord):
        damaged = Problem(ProblemType.DAMAGED_RECORD, record.reason)
        return {
            "domain": record.name,
            "status": Status.ERROR.value,
            "code": damaged.type.value,
            "cause": damaged.cause,
            "must_act": damaged.actor.value,
            "message": str(damaged),
        }
    certificate, problem = record.domain.certificate, problem_of(record, now)
    word = status(record, now)
    line: dict[str, Any] = {
        "domain": record.domain.name,
        "account": record.domain.account,
        "status": word.value,
        "ca": certificate.ca if certificate else None,
        "not_after": instant(certificate.not_after) if certificate else None,
    }
    if problem and word is not Status.ACTIVE:
        facts = {"code": problem.type.value, "cause": problem.cause, "must_act": problem.actor.value}
        line |= facts | {"message": str(problem)}
    return line


def domain_body(record: Record, now: float) -> dict[str, Any]:
    """All that is known of a domain, for its operator: its status, its certificate, and its latest issuance."""
    domain, issuance, certificate = record.domain, record.issuance, record.domain.certificate
    state = status_body(record, now)
    if domain.is_withdrawn:
        state["status"] = WITHDRAWN
    facts = (
        {
            "serial": certificate.serial,
            "ca": certificate.ca,
            "not_before": instant(certificate.not_before),
            "not_after": instant(certificate.not_after),
        }
        if certificate
        else None
    )
    return state | {
        "domain": domain.name,
        "account": domain.account,
        "certificate": facts,
        "issuance": {
            "id": issuance.id,
            "reason": issuance.reason.value,
            "step": issuance.step.value,
            "ca": issuance.ca,
            "tries": issuance.tries,
            "created_at": instant(issuance.created_at),
        },
        "renewal_at": _instant(record.renewal_start_at),
        "moved_away_since": _instant(domain.moved_away_since),
        "held_until": _instant(domain.withdrawn_until),
        "renewal_forced_since": _instant(domain.forced_since) if domain.is_forced else None,
        "revocations": [{"serial": one.serial, "ca": one.ca, "tries": one.tries} for one in domain.revocations],
        "rejections": [rejection_body(one) for one in domain.rejections],
    }


def account_body(account: Account) -> dict[str, Any]:
    """A customer's account, for its operator."""
    return {"account": account.id, "plan": account.plan.value, "created_at": instant(account.created_at)}


def operator_key_body(key: OperatorKey) -> dict[str, Any]:
    """Who may log in to the operators' page."""
    return {"operator": key.name, "created_at": instant(key.created_at), "last_used_at": _instant(key.last_used_at)}


def rejection_body(rejection: Rejection) -> dict[str, Any]:
    """Why no certificate is ordered at a CA."""
    return {"ca": rejection.ca, "at": instant(rejection.at), "reason": rejection.reason}


def timeline(record: Record) -> list[dict[str, Any]]:
    """The events of a domain, oldest first."""
    return [event_body(record.domain.name, event) for event in record.timeline]


def event_body(name: str, event: Event) -> dict[str, Any]:
    """One event, with the sentence that people read."""
    return {
        "id": event.id,
        "at": instant(event.at),
        "type": event.type,
        "domain": name,
        "code": event.code or None,
        "by": event.by,
        "data": dict(event.data),
        "text": event.text,
    }


def _instant(at: float | None) -> str | None:
    return None if at is None else instant(at)


def _words(word: Status, last: str | None) -> tuple[str, str | None]:
    """`message` and `error` of a status; last: the last problem in words."""
    match word:
        case Status.ACTIVE:
            return "x509 key pair is active", None
        case Status.PROCESSING:
            return last or "x509 key pair generation is in progress", "Waiting for x509 key pair generation"
        case Status.EXPIRED:
            return last or "x509 certificate has expired", "x509 certificate has expired"
        case Status.ERROR if last:
            return last, last
        case Status.ERROR:
            return DELAYED, DELAYED
