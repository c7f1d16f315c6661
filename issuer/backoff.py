"""When to try again, as pure functions: a failed step, a query to a CA, to DNS, or to an edge.

Times are in epoch seconds, pauses in seconds. `jitter` is a factor around 1, which the caller picks at random
(`random_jitter`), so that many names that failed at the same time are not retried at the same time.
"""

import random

from issuer.problem import Problem

MINUTE = 60
HOUR = 3600
DAY = 86400
WEEK = 7 * DAY

FIRST_POLL, LONGEST_POLL, LONG_POLL = 0.1, 60.0, 600.0
PATIENT_POLLS = 40
MAX_POLLS = 184
"""If a CA is not ready after this many polls in a row, about a day, that is a problem. After PATIENT_POLLS, about half
an hour, the polls are rarer."""
LONGEST_ADVICE, INSTEAD_OF_ADVICE = 120.0, 10.0
"""A Retry-After of up to two minutes delays the next look at what a CA is working on. A longer one does not: some CAs
say a day and are done in a minute."""
ANSWER_AGAIN = 60.0
"""A challenge that a CA has not begun to validate after this time, or has failed to, is answered again."""
GIVE_UP = 2700.0
"""After this time an order is given up if all that its CA shows is an error, or that it has not begun to validate."""
SLOW_AFTER, LONG_AFTER = 30.0, 3600.0
"""After these times it is told that a CA works on an order, and that the operator should ask it why."""
SELF_CHECK_AGAIN = 5.0
LONGEST_TENFOLD = 7200
"""Up to this pause, in seconds, each pause is ten times as long as the last; then it is the longest one allowed."""
MOST_TRIES = 10
LONGEST_UNCOUNTED = 600
MOVED_AWAY_AFTER = 3 * DAY
"""After this time, a name that points to other servers is tried ever more rarely."""
SOONEST_RECHECK = 40.0
EDGE_SOONEST, EDGE_LATEST = 2.0, 3600.0
REVOCATION_FIRST, REVOCATION_LONGEST = 60, DAY / 4
RENEWAL_INFO_DEFAULT = DAY / 4
ASSUMED_LOST = 60
"""A message that has not led to a lease after this time is considered lost, and `reconcile` sends another one."""


def random_jitter() -> float:
    """A factor between 0.8 and 1.2, for the `jitter` of the functions below."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing


def clamp(value: float, least: float, most: float) -> float:
    """The value, limited to the range from least to most."""
    return max(least, min(value, most))


def retry_at(problem: Problem, now: float, *, tries: int, pauses: int, longest: float, jitter: float) -> float:
    """When to try a failed step again.

    After a problem that counts as a try: after 1, 10 and 100 minutes (or longer, if the table of problems has a longer
    first pause), then every `longest` seconds. After a problem that does not count: after twice as long each time, up
    to ten minutes. Never before the problem's own retry_at.
    """
    first, not_before = problem.first_retry_seconds, problem.retry_at or 0
    if problem.is_counted:
        pause = first * 10.0 ** min(tries, MOST_TRIES)
        pause = longest if pause > LONGEST_TENFOLD else min(pause, longest)
    else:
        pause = min(max(not_before - now, first) * 2.0 ** min(pauses, 5), max(LONGEST_UNCOUNTED, first))
    return max(now + pause * jitter, not_before + pause * abs(jitter - 1))


def longest_retry_pause(
    now: float, *, certificate_end: float | None, lifetime: float, moved_away_since: float | None
) -> float:
    """How long a temporary problem may delay the next try, in seconds: a day; less if the certificate expires soon; up
    to a week if the name has moved away. certificate_end None: there is no certificate, and `lifetime` is not used."""
    if moved_away_since is not None and now - moved_away_since >= MOVED_AWAY_AFTER:
        return clamp((now - moved_away_since) / 3, DAY, WEEK)
    if certificate_end is None:
        return DAY
    return clamp(abs(certificate_end - now) / 6, min(HOUR, lifetime / 20), DAY)


def passes_at(problem: Problem, tries: int, now: float) -> float:
    """The earliest time at which a problem may be over, to compare the problems of several CAs."""
    factor = 10.0 ** min(tries, MOST_TRIES) if problem.is_counted else 1
    return max(problem.retry_at or 0, now + problem.first_retry_seconds * factor)


def poll_at(now: float, *, waits: int, not_before: float | None) -> float:
    """When to poll an order again that the CA is still processing: after longer each time. not_before: the time of its
    Retry-After, which is only advice here."""
    longest = LONGEST_POLL if waits < PATIENT_POLLS else LONG_POLL
    advice = not_before or 0
    if advice > now + LONGEST_ADVICE:
        advice = now + INSTEAD_OF_ADVICE
    return max(now + min(FIRST_POLL * 2.0**waits, longest), advice)


def is_answer_due(answered_at: float | None, now: float) -> bool:
    """Whether a challenge must be answered again, as its CA shows no validation. answered_at None: an older release
    has answered it."""
    return answered_at is None or now - answered_at >= ANSWER_AGAIN


def is_given_up(waiting_since: float | None, now: float) -> bool:
    """Whether an order has been waited for long enough that shows an error, or no beginning."""
    return waiting_since is not None and now - waiting_since >= GIVE_UP


def is_slow(waiting_since: float | None, now: float) -> bool:
    """Whether a CA takes longer than most do."""
    return waiting_since is not None and now - waiting_since >= SLOW_AFTER


def is_long(waiting_since: float | None, now: float) -> bool:
    """Whether a CA takes so long that its operators must be asked."""
    return waiting_since is not None and now - waiting_since >= LONG_AFTER


def requeue_at(next_try_at: float | None, now: float, *, is_queued: bool) -> float:
    """When `reconcile` must enqueue an open issuance again if nothing else continues it."""
    return (next_try_at or now) + (ASSUMED_LOST if is_queued else 0)


def new_renewal_at(now: float, *, certificate_end: float, lifetime: float, jitter: float) -> float:
    """When to start a new renewal after one has failed for good: the sooner, the nearer the certificate's expiry."""
    pause = clamp(abs(certificate_end - now) / 3, min(DAY, lifetime / 4), WEEK)
    return now + pause * jitter


def dns_recheck_at(now: float, since: float) -> float:
    """When to look again at the records of a name that were wrong, or could not be read, since then: within a minute at
    first, as their owner may be at it, and the rarer the longer it lasts."""
    return now + clamp((now - since) / 8, SOONEST_RECHECK, DAY)


def renewal_info_at(now: float, *, asked_for: float | None, lifetime: float) -> float:
    """When to ask the CA again for its suggested window (RFC 9773 §4.3): when it asks for, but at least twice a day."""
    soonest, latest = min(MINUTE, lifetime / 20), min(DAY / 2, lifetime / 4)
    return clamp(asked_for or now + RENEWAL_INFO_DEFAULT, now + soonest, now + latest)


def edge_look_at(now: float, installed_for: float) -> float:
    """When to ask the edges again whether they serve a certificate, installed_for seconds after its installation."""
    return now + clamp(installed_for, EDGE_SOONEST, EDGE_LATEST)


def revocation_at(now: float, *, tries: int, not_before: float | None, certificate_end: float, jitter: float) -> float:
    """When to ask a CA again to revoke: after ten times as long each time, up to six hours, never before `not_before`,
    but at the latest when the certificate expires."""
    pause = min(REVOCATION_FIRST * 10.0 ** min(tries, 5), REVOCATION_LONGEST) * jitter
    return min(max(now + pause, not_before or 0), certificate_end)
