"""Other encryption keys for a while, and then the right ones: nothing is stuck, lost, or bought for nothing."""

from dataclasses import replace

import pytest

from issuer import keys, tasks
from issuer.domain import CHAIN, Record, Status, Step, status
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.api_client import reach
from tests.fakes import NAME, FakeCa, fake_services, opened

HOUR = 3600


class AccountedCa(FakeCa):
    """A CA that signs its requests with a stored account key, as the real one does."""

    vault: keys.Vault
    account_key: str

    def account_url(self) -> str:
        self.vault.decrypt(self.account_key)
        return super().account_url()

    def _call(self, method, work, *args):
        self.account_url()
        return super()._call(method, work, *args)


def with_account(services: Services) -> Services:
    ca = services.cas[0]
    ca.__class__, ca.vault, ca.account_key = AccountedCa, services.vault, services.vault.encrypt(b"account key")
    return services


class Fleet:
    """right, wrong: services over the same store, CA and clock, each with its own encryption key."""

    def __init__(self, *, has_account: bool) -> None:
        self.right = fake_services()
        if has_account:
            with_account(self.right)
        self.wrong = replace(self.right, vault=keys.Vault([keys.new_encryption_key()]))
        self.ca, self.clock = self.right.cas[0], self.right.clock

    def lived(self, services: Services, seconds: float, until: Step = Step.DONE) -> Record:
        """Do what queue and beat do with an open record, for a time, or until a step."""
        self.ca.vault = services.vault
        end = self.clock() + seconds
        while (record := services.store.load(NAME)).issuance.is_open and record.issuance.step is not until:
            due_at = max(record.issuance.next_try_at or 0, self.clock())
            self.clock.now = min(due_at, end)
            if due_at > end:
                break
            tasks.attempt(services, record.issuance.step, record.issuance.id)
        return services.store.load(NAME)


@pytest.fixture(params=[True, False], ids=["with an account", "without one"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return Fleet(has_account=request.param)


@pytest.mark.parametrize("seconds", [60, HOUR])
@pytest.mark.parametrize("step", CHAIN)
def test_n20_what_was_begun_before_is_done_when_the_key_is_back(fleet: Fleet, step: Step, seconds: float) -> None:
    opened(fleet.right)
    fleet.lived(fleet.right, HOUR, until=step)
    fleet.lived(fleet.wrong, seconds, until=Step.DONE if fleet.ca.__class__ is AccountedCa else step)
    record = fleet.lived(fleet.right, HOUR)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert fleet.right.vault.decrypt(record.domain.certificate.key)
    assert len(fleet.ca.certificates) == 1, "an issued certificate is never lost"


@pytest.mark.parametrize("hours", [1, 4, 12])
def test_n20_a_certificate_that_was_issued_waits_for_its_key_for_hours(hours: int) -> None:
    fleet = Fleet(has_account=True)
    opened(fleet.right)
    issued_at = fleet.lived(fleet.right, HOUR, until=Step.INSTALL)
    waiting = fleet.lived(fleet.wrong, hours * HOUR)
    assert (waiting.issuance.problem.type, waiting.issuance.key) == (
        ProblemType.UNDECRYPTABLE,
        issued_at.issuance.key,
    )
    assert waiting.issuance.tries == 0
    assert "ISSUER_ENCRYPTION_KEYS" in waiting.issuance.problem.hint
    record = fleet.lived(fleet.right, HOUR / 2)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert len(fleet.ca.certificates) == 1


@pytest.mark.parametrize("step", [Step.CHALLENGE, Step.FINALIZE])
def test_n20_an_order_with_another_key_is_dropped_before_its_csr_is_sent(step: Step) -> None:
    fleet = Fleet(has_account=False)
    reach(fleet.wrong, step)
    record = fleet.lived(fleet.right, HOUR)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert fleet.ca.calls.count("finalize") == 1
    assert len(fleet.ca.certificates) == 1, "nothing is bought for nothing"
    assert fleet.right.vault.decrypt(record.domain.certificate.key)
    told = [event.text for event in record.timeline if event.code == "order-lost"]
    assert len(told) == 1
    assert "ISSUER_ENCRYPTION_KEYS" in told[0]
    assert "a new one is placed" in told[0]


def test_n20_a_key_without_an_order_is_made_anew_before_anything_is_ordered() -> None:
    fleet = Fleet(has_account=True)
    opened(fleet.right)
    begun = fleet.lived(fleet.wrong, HOUR)
    assert begun.issuance.key
    with pytest.raises(Problem):
        fleet.right.vault.decrypt(begun.issuance.key)
    assert fleet.ca.orders == {}
    record = fleet.lived(fleet.right, HOUR / 2)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert (len(fleet.ca.orders), len(fleet.ca.certificates)) == (1, 1)


@pytest.mark.parametrize("looks", [0, 3])
def test_n20_a_certificate_with_another_key_waits_for_others_and_then_ends_by_itself(looks: int) -> None:
    fleet = Fleet(has_account=False)
    fleet.ca.looks_until_ready = looks
    reach(fleet.wrong, Step.INSTALL)
    waiting = fleet.lived(fleet.right, HOUR)
    assert (waiting.issuance.step, waiting.issuance.problem.type) == (Step.INSTALL, ProblemType.UNDECRYPTABLE)
    for_others = replace(fleet.right, vault=fleet.wrong.vault)
    assert status(fleet.lived(for_others, HOUR / 4), fleet.clock()) is Status.ACTIVE
    fleet = Fleet(has_account=False)
    reach(fleet.wrong, Step.INSTALL)
    record = fleet.lived(fleet.right, 3 * HOUR)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert fleet.right.vault.decrypt(record.domain.certificate.key)


def test_n20_a_csr_that_was_sent_is_followed_to_its_certificate() -> None:
    fleet = Fleet(has_account=False)
    fleet.ca.looks_until_ready = 2
    record = reach(fleet.right, Step.FINALIZE)
    tasks.attempt(fleet.right, Step.FINALIZE, record.issuance.id)
    fleet.lived(fleet.wrong, 60)
    record = fleet.lived(fleet.right, HOUR)
    assert status(record, fleet.clock()) is Status.ACTIVE
    assert len(fleet.ca.certificates) == 1
