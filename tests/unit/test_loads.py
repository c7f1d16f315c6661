"""A request reads its account and its record once."""

from collections import Counter
from dataclasses import replace

import pytest

from issuer.domain import Account, Record
from issuer.ports import HolderProof
from issuer.store import RedisStore
from tests.api_client import ApiClient, issued
from tests.fakes import NAME, fake_services, with_settings

HSTS = f"/v2/x509/{NAME}/hsts"
CALLS = {
    "POST": ("POST", f"/v2/x509/{NAME}", None),
    "POST of a new name": ("POST", "/v2/x509/new.customer.example", None),
    "PUT": ("PUT", f"/v2/x509/{NAME}", None),
    "GET status": ("GET", f"/v2/x509/{NAME}/status", None),
    "GET status of no name": ("GET", "/v2/x509/none.customer.example/status", None),
    "PUT hsts": ("PUT", HSTS, b'{"max_age": 60}'),
    "PUT hsts with a wrong body": ("PUT", HSTS, b"[]"),
    "GET hsts": ("GET", HSTS, None),
    "DELETE hsts": ("DELETE", HSTS, None),
    "DELETE": ("DELETE", f"/v2/x509/{NAME}", None),
}


class Counting(RedisStore):
    """Counts what is read."""

    def __init__(self, store: RedisStore) -> None:
        super().__init__(store._redis)
        self.read: Counter[str] = Counter()

    def load(self, name: str) -> Record | None:
        self.read["record"] += 1
        return super().load(name)

    def account(self, account_id: str) -> Account | None:
        self.read["account"] += 1
        return super().account(account_id)


@pytest.mark.parametrize("proof", [HolderProof.NONE, HolderProof.TXT])
@pytest.mark.parametrize(("method", "path", "data"), CALLS.values(), ids=CALLS)
def test_each_call_reads_account_and_record_once(proof: HolderProof, method: str, path: str, data: bytes) -> None:
    services = fake_services()
    store = Counting(services.store)
    api_client = ApiClient(with_settings(replace(services, store=store), holder_proof=proof)).with_accounts()
    issued(services)
    store.read.clear()
    api_client.call(method, path, data=data)
    assert store.read == {"account": 1, "record": 1}
