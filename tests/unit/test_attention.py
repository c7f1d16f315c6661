"""What a status says of an issuance that is overdue: whether anybody works on it, and how many stand before it."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.actions import finding, listing, lookup
from issuer.actions.eligibility import require_eligible
from issuer.actions.metrics import metrics_text
from issuer.domain import Due, Reason, Record, Status, new_issuance, status
from issuer.fleet import attention, watch
from issuer.ports import Services
from issuer.presenters import entry, status_body
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, issued
from tests.fakes import ACCOUNT, NAME, NOW, fake_services, opened
from tests.heartbeats import everybody_works
from tests.writes import open_issuance

SINCE = "2026-09-21 14:13:20 UTC"


@pytest.fixture
def services() -> Services:
    services = fake_services()
    services.board.heartbeats(NOW - 3600)
    services.store.require_own()
    services.store.create_account(ACCOUNT)
    everybody_works(services)
    return services


def goes_by(services: Services, seconds: int, *, but: str = "", **others: dict[str, object]) -> None:
    for _ in range(0, seconds, 10):
        services.clock.forward(10)
        everybody_works(services, but=but, **others)


def body(services: Services) -> dict[str, object]:
    return status_body(lookup.record_of(services, NAME), services.clock())


@pytest.mark.parametrize(
    ("process", "cause", "hint"),
    [
        ("worker", f"nobody has worked on the queue interactive since {SINCE}", "start `issuer run worker`"),
        ("beat", f"beat has not been running since {SINCE}", "start `issuer run beat`"),
    ],
)
def test_who_is_missing_is_named_once_it_is_overdue_by_a_minute(
    services: Services, process: str, cause: str, hint: str
) -> None:
    opened(services)
    goes_by(services, 50, but=process)
    assert body(services)["status"] == "processing"
    goes_by(services, 10, but=process)
    told = body(services)
    assert (told["status"], told["code"], told["must_act"]) == ("error", "not-worked-on", "platform")
    assert told["cause"].startswith(cause)
    assert told["hint"].startswith(hint)
    assert told["cause"] in told["message"]
    assert "next_attempt_at" not in told
    everybody_works(services)
    assert body(services)["status"] == "processing"


def test_a_queue_that_scans_need_is_named(services: Services) -> None:
    opened(services)
    for _ in range(7):
        services.clock.forward(10)
        everybody_works(services, but="worker")
        everybody_works(services, but="worker", renewals={"queues": ("interactive", "renewal", "bulk", "lookup")})
        services.board.beat(services.clock())
    told = body(services)
    assert told["code"] == "not-worked-on"
    assert told["cause"].startswith(f"nobody has worked on the queue housekeeping since {SINCE}")


def test_a_worker_of_another_broker_is_no_worker_of_ours(services: Services) -> None:
    opened(services)
    goes_by(services, 60, worker={"broker": "another"})
    assert "ISSUER_BROKER_URL" in body(services)["hint"]


def test_a_retry_that_is_not_due_for_a_minute_keeps_its_own_problem(services: Services) -> None:
    record = opened(services)
    problem, later = Problem(ProblemType.CA_UNAVAILABLE, "no answer"), services.clock() + 100
    open_issuance(
        services.store, record.domain, record.issuance.retry(problem, later), version=record.version, requeue_at=later
    )
    goes_by(services, 150, but="worker")
    assert (body(services)["status"], body(services)["code"]) == ("processing", "ca-unavailable")
    goes_by(services, 10, but="worker")
    assert (body(services)["status"], body(services)["code"]) == ("error", "not-worked-on")
    assert services.store.load(NAME).issuance.problem.type is ProblemType.CA_UNAVAILABLE, "it is told, not stored"


def test_a_long_queue_is_no_fault(services: Services) -> None:
    opened(services)
    for _ in range(3):
        services.store._redis.lpush("interactive", "{}")
    goes_by(services, 300)
    told = body(services)
    assert (told["status"], told["code"], told["must_act"]) == ("processing", "queued", "nobody")
    assert "3 others in the queue interactive may stand before it" in told["message"]


def test_nobody_stands_before_one_that_is_being_worked_on(services: Services) -> None:
    record = opened(services)
    services.store._redis.lpush("interactive", "{}")
    services.store.lease(record.issuance.id, now=NOW, until=NOW + 72)
    goes_by(services, 60, but="worker")
    assert body(services)["message"] == "x509 key pair generation is in progress"


def test_a_renewal_that_nobody_works_on_leaves_an_ended_certificate_expired(services: Services) -> None:
    record = issued(services, NAME)
    services.clock.now = record.domain.certificate.not_after + 5
    everybody_works(services)
    renewal = replace(new_issuance(NAME, Reason.RENEWAL, services.clock()))
    open_issuance(services.store, record.domain, renewal, version=record.version, requeue_at=services.clock())
    goes_by(services, 60, but="renewals")
    told = body(services)
    assert (told["status"], told["code"]) == ("expired", "not-worked-on")
    assert "queue renewal since" in told["cause"]
    assert listing.counts(services).expired == 1
    assert listing.counts_and_overdue(services)[1] == 1


def test_a_renewal_that_no_scan_starts_is_told_when_the_certificate_has_ended(services: Services) -> None:
    record = issued(services, NAME)
    services.clock.now = record.domain.certificate.not_after - 100
    everybody_works(services)
    services.clock.forward(200)
    services.board.heartbeats(services.clock())
    told = body(services)
    assert (told["status"], told["code"], told["must_act"]) == ("expired", "not-worked-on", "platform")


def test_lists_counts_and_metrics_say_the_same(services: Services) -> None:
    opened(services)
    goes_by(services, 60, but="worker")
    (found,) = listing.by_next_try(services, until=services.clock()).records
    line = entry(found, services.clock())
    assert (line["status"], line["code"], line["must_act"]) == ("error", "not-worked-on", "platform")
    counts = listing.counts(services)
    assert (counts.processing, counts.error) == (0, 1)
    text = metrics_text(services).decode()
    assert 'issuer_domains{status="error"} 1.0' in text
    assert 'issuer_domains_with_problem{code="not-worked-on"} 1.0' in text
    wanted = [
        finding.Wanted(status=Status.ERROR),
        finding.Wanted(code="not-worked-on"),
        finding.Wanted(account=ACCOUNT.id),
    ]
    for each in wanted:
        assert [status(one, services.clock()) for one in finding.find(services, each).records] == [Status.ERROR]
    assert not finding.find(services, finding.Wanted(status=Status.PROCESSING)).records


def test_other_queues_are_not_counted(services: Services) -> None:
    opened(services)
    goes_by(services, 60, but="renewals")
    assert attention.Attention(services).neglected() == [Due.OPEN_BULK, Due.OPEN_RENEWAL]
    assert listing.counts_and_overdue(services)[1] == 0
    assert listing.counts(services).processing == 1


def test_a_request_tries_again_where_nobody_makes_progress(services: Services) -> None:
    record = opened(services)
    goes_by(services, 60)
    with pytest.raises(Problem, match="already been initiated"):
        require(services, record)
    goes_by(services, 60, but="worker")
    require(services, record)


def require(services: Services, record: Record) -> None:
    require_eligible(services, ACCOUNT, NAME, record, must_exist=False)


def test_readyz_lists_what_does_not_run_and_stays_ready(services: Services) -> None:
    client = ApiClient(services)
    assert client.call("GET", "/readyz", "").json == {"message": "ready"}
    goes_by(services, 50, but="beat")
    answer = client.call("GET", "/readyz", "")
    (found,) = answer.json["degraded"]
    assert answer.status_code == 200
    assert (found["code"], found["since"], found["must_act"]) == ("beat", "2026-09-21T14:13:20+00:00", "platform")
    assert "`issuer run beat`" in found["hint"]


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_web_tells_of_what_does_not_run_if_nobody_else_has(
    services: Services, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0)
    app = ApiClient(services).app
    app.extensions["readiness"]._watch._looked = -1e9
    services.clock.forward(50)
    with capture_logs() as lines, app.test_client() as client:
        assert client.get(path).status_code == 200
        assert client.get("/readyz").status_code == 200
    told = [(line["log_level"], line["code"], line["subject"]) for line in lines if line["event"] == "degraded"]
    queues = ("bulk", "housekeeping", "interactive", "lookup", "renewal")
    assert sorted(told) == [("error", "beat", ""), *(("error", "queue", queue) for queue in queues)]
