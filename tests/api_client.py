"""The HTTP api_client end, without a server: a client that looks at every answer, and records as workers leave them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Flask
from kombu.simple import SimpleQueue
from werkzeug.test import TestResponse

from issuer import tasks
from issuer.actions import accounts
from issuer.celery_app import INTERACTIVE
from issuer.domain import CHAIN, Issuance, Plan, Reason, Record, Step, new_issuance
from issuer.ports import Services
from tests.fakes import NAME, fake_services, opened
from tests.writes import open_issuance
from web.app import create_app

SECRETS = (b"PRIVATE KEY", b"gAAAA", b"Traceback")
"""In no answer ever: keys in clear, Fernet tokens, stack traces."""


@dataclass
class ApiClient:
    """The application over `services`. Of its accounts, platform and other have the plan, small has not."""

    services: Services = field(default_factory=fake_services)
    app: Flask = None
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = create_app(self.services)

    def with_accounts(self) -> "ApiClient":
        for account, plan in (("platform", Plan.HTTPS), ("other", Plan.HTTPS), ("small", Plan.BASIC)):
            self.keys[account] = accounts.create(self.services, account, plan)
        return self

    def call(self, method: str, path: str, account: str = "platform", **more) -> TestResponse:
        """An answer, after a look at what holds for all of them."""
        headers = {"Authorization": f"Bearer {self.keys[account]}"} if account in self.keys else {}
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers | more.pop("headers", {}), **more)
            data = answer.get_data()
        assert not any(secret in data for secret in SECRETS)
        assert answer.content_type == "application/json"
        assert answer.status_code < 300 or answer.status_code >= 400
        if method != "HEAD":
            assert isinstance(answer.json["message"], str)
            assert answer.json["message"]
            assert answer.status_code < 400 or answer.json["code"]
        return answer

    def post(self, name: str = NAME, account: str = "platform", **more) -> TestResponse:
        return self.call("POST", f"/v2/x509/{name}", account, **more)

    def put(self, name: str = NAME, account: str = "platform", **more) -> TestResponse:
        return self.call("PUT", f"/v2/x509/{name}", account, **more)

    def status(self, name: str = NAME, account: str = "platform") -> TestResponse:
        return self.call("GET", f"/v2/x509/{name}/status", account)

    def load(self, name: str = NAME) -> Record | None:
        return self.services.store.load(name)

    def queued(self) -> list[tuple[str, str]]:
        """Takes the messages off the queue: task and issuance of each."""
        found = []
        with (
            self.services.queue.celery.connection_for_read() as connection,
            SimpleQueue(connection, INTERACTIVE) as queue,
        ):
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    return found
                message.ack()
                found.append((message.headers["task"], message.decode()[0][0]))


def worked(services: Services, change: Callable[[Issuance], Issuance], name: str = NAME) -> Record:
    """The record after a worker has had its issuance and left it changed."""
    record, now = services.store.load(name) or opened(services, name), services.clock()
    leased = services.store.lease(record.issuance.id, now=now, until=now + 70)
    issuance = change(leased.issuance)
    services.store.save_and_release(
        leased.with_issuance(issuance), requeue_at=(issuance.next_try_at or now + 60) if issuance.is_open else None
    )
    return services.store.load(name)


def issued(services: Services, name: str = NAME) -> Record:
    """The record with a certificate in force, by the real steps and the fake CA."""
    record = opened(services, name)
    for _ in range(20):
        record = services.store.load(name)
        if record.issuance.step not in CHAIN:
            break
        services.clock.now = max(services.clock.now, record.issuance.next_try_at or 0)
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    assert record.domain.certificate
    return record


def reach(services: Services, step: Step, name: str = NAME) -> Record:
    """A record whose first issuance stands before `step`."""
    opened(services, name)
    while (record := services.store.load(name)).issuance.step is not step:
        outcome, seconds = tasks.attempt(services, record.issuance.step, record.issuance.id)
        assert outcome is not tasks.Outcome.STOP
        services.clock.forward(seconds)
    return record


def renewing(services: Services, name: str = NAME) -> Record:
    """The record with a certificate in force and another attempt under way."""
    held = issued(services, name)
    again = new_issuance(name, Reason.MANUAL, services.clock())
    return open_issuance(services.store, held.domain, again, version=held.version, requeue_at=services.clock() + 60)
