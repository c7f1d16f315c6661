"""Each alert fires by what /metrics shows of its fault, and none does while all is well: promtool reads real texts."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from issuer.actions.metrics import metrics_text
from issuer.fleet.queues import READ_BY
from issuer.metrics import CONSUMER_RESTARTS
from issuer.ports import CaLimits, CaPolicy, Check, CheckResult, Consumer, Services, Verdict
from issuer.problem import Problem, ProblemType
from issuer.schedule import SCANS
from issuer.store import RedisFleetBoard, RedisServers
from issuer.store.keys import RECORDS
from tests.api_client import issued, worked
from tests.databases import empty_store, take_away
from tests.fakes import ACCOUNT, below, fake_services, opened, queue_at
from tests.simulated_fleet import DAY, SimulatedFleet
from tests.unit.test_metrics_fleet import renewing_with

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "issuer.json"
ENDS = {"histogram": ("_bucket", "_sum", "_count")}
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)
BEFORE, AFTER = 10, 50
"""Minutes in which all is well, and in which the fault lasts."""
CA = "https://ca.example/directory"


@dataclass
class Plant:
    """A fleet over real Redis in which all is well, until something is changed."""

    services: Services
    works: bool = True

    def shown(self) -> dict[str, float]:
        """The samples of /metrics, each as promtool names it."""
        self.work()
        with suppress(Problem):
            self.services.counters.add_tally()
            return series(metrics_text(self.services).decode()) | {'up{job="issuer"}': 1}
        return {'up{job="issuer"}': 0}

    def work(self, *, but: str = "") -> None:
        """All processes show themselves now. but: not this one, and not what depends on it."""
        if not self.works:
            return
        now, board = self.services.clock(), self.services.board
        if but != "beat":
            board.beat(now)
        scans = {} if but in {"beat", "worker"} else {scan.name: now for scan in SCANS}
        for process in READ_BY.keys() - {but}:
            board.consumes(self.consumer(process), scans)
            board.consumes_at_broker(self.consumer(process))

    def consumer(self, process: str, **others: object) -> Consumer:
        board, now = self.services.board, self.services.clock()
        members = {"queues": READ_BY[process], "broker": board.broker([]).id, "store": board.heartbeats(now).store}
        return Consumer(f"{process}@here", seen_at=now, **members | others)

    def ends(self, process: str) -> None:
        """A process ends, and some minutes go by."""
        self.work()
        self.services.clock.forward(300)
        self.work(but=process)
        self.works = False

    def failing(self, code: ProblemType, **members: object) -> None:
        renewing_with(self.services, "failing.example", Problem(code, **members))


def series(text: str) -> dict[str, float]:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        f"{one.name}{{{','.join(f'{name}={json.dumps(value)}' for name, value in one.labels.items())}}}": one.value
        for one in samples
    }


@pytest.fixture
def plant() -> Iterator[Plant]:
    services = fake_services()
    records, messages = services.store._redis, empty_store()._redis
    services.store.create_account(ACCOUNT)
    services.store.require_own()
    queue = queue_at("redis://{host}:{port}/{db}".format(**messages.connection_pool.connection_kwargs))
    services.cas[0].policy = CaPolicy(limits=CaLimits(new_orders=(20, 3600.0)))
    yield Plant(
        replace(
            services,
            queue=queue,
            board=RedisFleetBoard(records, messages),
            servers=RedisServers({"records": records, "messages": messages}),
            edges=("edge1.platform.example:443",),
        )
    )
    queue.celery.close()


def process_ends(process: str) -> Callable[[Plant], None]:
    return lambda plant: plant.ends(process)


def scans_fail(plant: Plant) -> None:
    plant.work()
    plant.services.clock.forward(300)
    for process in READ_BY:
        plant.services.board.consumes(plant.consumer(process), {})
    plant.services.board.beat(plant.services.clock())
    plant.works = False


def problem(code: ProblemType, **members: object) -> Callable[[Plant], None]:
    return lambda plant: plant.failing(code, **members)


def redis_is_away(plant: Plant) -> None:
    take_away(plant.services.store)
    plant.works = False


def broker_is_away(plant: Plant) -> None:
    plant.services.board._messages = gone = empty_store()
    plant.services.servers._clients["messages"] = plant.services.board._messages = gone._redis
    take_away(gone)
    plant.works = False


def worker_at_another_broker(plant: Plant) -> None:
    plant.work()
    plant.services.board.consumes(plant.consumer("worker", broker="0" * 32), {})
    plant.services.board.consumes(replace(plant.consumer("worker"), name="worker@there"), {})
    plant.works = False


def consumer_is_started_anew(plant: Plant) -> None:
    plant.services.counters.add(CONSUMER_RESTARTS.once("worker"))


def messages_wait(plant: Plant) -> None:
    plant.services.queue.enqueue(opened(plant.services))
    plant.services.clock.now = 4_000_000_000.0  # the message has the time of the real clock


def nothing_is_claimed(plant: Plant) -> None:
    opened(plant.services)
    plant.services.clock.forward(2000)


def renewal_fails_until_the_end(plant: Plant) -> None:
    plant.failing(ProblemType.CA_UNAVAILABLE)
    plant.services.clock.forward(88 * DAY)


def certificate_expires(plant: Plant) -> None:
    plant.failing(ProblemType.CAA)
    plant.services.clock.forward(91 * DAY)
    SimulatedFleet(plant.services).scan()


def owners_fail_at_once(plant: Plant) -> None:
    for name in below("customer.example", 25):
        plant.services.resolver.verdicts[name] = Verdict.NO
        opened(plant.services, name)
    SimulatedFleet(plant.services).run(90)


def ca_fails(plant: Plant) -> None:
    plant.services.limits.record_failure(CA, now=plant.services.clock(), is_certain=True)
    plant.services.clock.forward(1000)


def orders_are_spent(plant: Plant) -> None:
    for name in below("customer.example", 19):
        issued(plant.services, name)


def edge_lags(plant: Plant) -> None:
    issued(plant.services)
    plant.services.clock.forward(4000)


def edge_is_given_up(plant: Plant) -> None:
    issued(plant.services)
    SimulatedFleet(plant.services).run(2 * DAY)


def record_is_damaged(plant: Plant) -> None:
    opened(plant.services, "damaged.example")
    plant.services.store._redis.hset(f"{RECORDS}damaged.example", "domain", "{")
    with pytest.raises(Problem):
        plant.services.store.load("damaged.example")


def certificate_is_of_no_use(plant: Plant) -> None:
    plant.services.cas[0].forge = lambda csr: (csr.public_key(), ["other.example"])
    opened(plant.services, "wrong.example")
    SimulatedFleet(plant.services).run(90)


def step_crashes(plant: Plant) -> None:
    worked(plant.services, lambda issuance: issuance.fail(Problem(ProblemType.CRASHED)), "crashed.example")


def doctor_finds(plant: Plant) -> None:
    plant.services.faults.begin(Check("port-80", CheckResult.FAILED, "404", "edge.platform.example", since=1.0))


FAULTS: dict[str, Callable[[Plant], None]] = {
    "IssuerDown": redis_is_away,
    "IssuerBeatDown": process_ends("beat"),
    "IssuerScansStopped": scans_fail,
    "IssuerQueueUnread": process_ends("renewals"),
    "IssuerBrokerDown": broker_is_away,
    "IssuerConsumerDeaf": consumer_is_started_anew,
    "IssuerConsumerMisled": worker_at_another_broker,
    "IssuerQueueSlow": messages_wait,
    "IssuerDueLate": nothing_is_claimed,
    "IssuerCertificateEndsSoon": renewal_fails_until_the_end,
    "IssuerCertificateExpired": certificate_expires,
    "IssuerPlatformMustAct": problem(ProblemType.UNDECRYPTABLE),
    "IssuerIssuancesFail": owners_fail_at_once,
    "IssuerCaFailing": ca_fails,
    "IssuerCaAccount": problem(ProblemType.CA_ACCOUNT),
    "IssuerCaBudgetLow": orders_are_spent,
    "IssuerEdgeBehind": edge_lags,
    "IssuerEdgeGivenUp": edge_is_given_up,
    "IssuerDamagedRecords": record_is_damaged,
    "IssuerCertificateRejected": certificate_is_of_no_use,
    "IssuerUndecryptable": problem(ProblemType.UNDECRYPTABLE),
    "IssuerCrashed": step_crashes,
    "IssuerDegraded": doctor_finds,
}
FIRED = 'group by (alertname) (max_over_time(ALERTS{alertstate="firing"}[2h]))'


def promtool_test(before: dict[str, float], after: dict[str, float], fired: str) -> dict[str, object]:
    """A test of promtool: that this alert fires (empty: none at all). The samples go from one state to the other."""
    values = {
        name: f"{before.get(name, '_')}x{BEFORE} " + (f"{after[name]}x{AFTER}" if name in after else "stale")
        for name in {**before, **after}
    }
    query = FIRED.replace("ALERTS{", f'ALERTS{{alertname="{fired}",') if fired else FIRED
    samples = [{"labels": f'{{alertname="{fired}"}}', "value": 1}] if fired else []
    return {
        "name": fired or "well",
        "interval": "1m",
        "input_series": [{"series": name, "values": text} for name, text in sorted(values.items())],
        "promql_expr_test": [{"expr": query, "eval_time": f"{BEFORE + AFTER}m", "exp_samples": samples}],
    }


def promtool(command: str, path: Path) -> None:
    ended = subprocess.run(["promtool", *command.split(), path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def promtool_tests(path: Path, *tests: dict[str, object]) -> None:
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "1m"}
    path.write_text(json.dumps(rules | {"tests": tests}))  # JSON is YAML
    promtool("test rules", path)


def test_each_alert_has_a_fault_here_and_an_entry_in_the_runbook() -> None:
    assert sorted(FAULTS) == sorted(ALERTS)
    links = re.findall(r"runbook_url: docs/runbook.md#(\w+)$", RULES.read_text(), re.MULTILINE)
    assert links == [name.lower() for name in ALERTS]
    entries = re.findall(
        r"^### (\w+)\n\n(?:.|\n)+?\*\*Do:\*\*", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE
    )
    assert set(ALERTS) <= set(entries)


def test_rules_and_the_example_of_a_configuration_are_valid() -> None:
    promtool("check rules", RULES)
    promtool("check config", RULES.with_name("prometheus.yml"))


def test_while_all_is_well_no_alert_fires(plant: Plant, tmp_path: Path) -> None:
    plant.services = replace(plant.services, edges=())
    issued(plant.services, "fine.example")
    promtool_tests(tmp_path / "tests.yaml", promtool_test(shown := plant.shown(), shown, ""))
    SimulatedFleet(plant.services).run(DAY)
    promtool_tests(tmp_path / "tests.yaml", promtool_test(shown, plant.shown(), ""))


@pytest.mark.parametrize("alert", FAULTS)
def test_each_alert_fires_by_its_fault(plant: Plant, alert: str, tmp_path: Path) -> None:
    before = plant.shown()
    FAULTS[alert](plant)
    promtool_tests(tmp_path / "tests.yaml", promtool_test(before, plant.shown(), alert))


def test_every_expression_of_the_dashboard_is_valid_and_of_metrics_that_exist(plant: Plant, tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"].replace("$__rate_interval", "5m") for panel in panels for target in panel["targets"]]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert not any("$" in expression for expression in expressions)
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check rules", path)
    families = re.findall(r"^# TYPE (\w+) (\w+)$", metrics_text(plant.services).decode(), re.MULTILINE)
    exist = {f"{name}{end}" for name, kind in families for end in ENDS.get(kind, ("",))}
    used = set(re.findall(r"issuer_\w+", " ".join([*expressions, RULES.read_text()])))
    assert used - exist == set()
    whole = {name for name, _ in families}
    assert {name for name in whole if not any(used_name.startswith(name) for used_name in used)} == set()


def test_names_follow_the_conventions_of_prometheus(plant: Plant) -> None:
    text = metrics_text(plant.services).decode()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        assert re.fullmatch(r"issuer_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") is (kind == "counter")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
