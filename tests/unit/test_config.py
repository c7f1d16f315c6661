"""Settings: the contract's defaults, what is refused and with which line, and no secret on the way."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from issuer.config import PREFIX, Settings, load_settings, parse_dns_server, parse_edge_address
from tests.fakes import FakeCa, FakeClock

KEY, OTHER_KEY = f"{'1' * 42}0=", f"{'2' * 42}0="
SECRET = "hunter2-the-secret"
NEEDED = {"ISSUER_ENCRYPTION_KEYS": KEY, "ISSUER_CNAME_TARGETS": "edge.platform.example"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be set, and nothing else."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def refusal() -> list[str]:
    with pytest.raises(SystemExit) as caught:
        load_settings()
    assert isinstance(caught.value.code, str)
    return caught.value.code.split("\n")


def secrets(values: tuple) -> list[str]:
    return [value.get_secret_value() for value in values]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", ""),
        ("acme_directory", "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("acme_ca_bundle", ""),
        ("identity_file", ""),
        ("missing_days", 7),
        ("acme_contact", ""),
        ("dns_servers", ()),
        ("key_type", "ec-p256"),
        ("log_format", ""),
        ("log_level", "INFO"),
        ("own_names", ()),
        ("allow_reserved_names", False),
        ("allow_volatile_redis", False),
        ("accept_proxied_names", False),
        ("acme_terms_agreed", False),
    ],
)
def test_defaults_are_the_contracts(name: str, value: object) -> None:
    found = getattr(load_settings(), name)
    assert (found.get_secret_value() if name == "broker_url" else found) == value


def test_the_records_are_by_default_in_database_0_and_the_messages_in_database_1() -> None:
    settings = load_settings()
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.celery_broker_url == "redis://127.0.0.1:6379/1"


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://redis.internal", "redis://redis.internal/1"),
        ("redis://redis.internal:7000", "redis://redis.internal:7000/1"),
        ("redis://redis.internal/", "redis://redis.internal/1"),
        ("redis://redis.internal:7000/5", "redis://redis.internal:7000/1"),
        (f"redis://:{SECRET}@redis.internal:7000/0", f"redis://:{SECRET}@redis.internal:7000/1"),
        (f"rediss://user:{SECRET}@redis.internal/0", f"rediss://user:{SECRET}@redis.internal/1"),
        ("rediss://h:7000/0?ssl_cert_reqs=required", "rediss://h:7000/1?ssl_cert_reqs=required"),
        ("redis://[::1]:7000/0", "redis://[::1]:7000/1"),
        ("redis://redis.internal/0?db=3", "redis://redis.internal/1"),
    ],
)
def test_messages_go_to_database_1_of_the_same_server(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, broker_url: str
) -> None:
    monkeypatch.setenv("ISSUER_REDIS_URL", redis_url)
    assert load_settings().celery_broker_url == broker_url
    monkeypatch.setenv("ISSUER_BROKER_URL", "redis://broker.example/7")
    assert load_settings().celery_broker_url == "redis://broker.example/7"
    assert load_settings().redis_url.get_secret_value() == redis_url


WRONG = [
    ("REDIS_URL", f"http://:{SECRET}@127.0.0.1"),
    ("REDIS_URL", f"{SECRET}"),
    ("REDIS_URL", ""),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://127.0.0.1:port/0"),
    ("REDIS_URL", f"redis://:{SECRET}@127.0.0.1:99999/0"),
    ("REDIS_URL", f"redis://:{SECRET}\u2100@127.0.0.1/0"),
    ("REDIS_URL", f"redis://:x[{SECRET}]@127.0.0.1/0"),
    ("REDIS_URL", f"redis://:{SECRET}[@127.0.0.1/0"),
    ("BROKER_URL", f"amqp://user:{SECRET}@127.0.0.1"),
    ("BROKER_URL", f"redis://:{SECRET}\u2100@127.0.0.1/0"),
    ("ENCRYPTION_KEYS", SECRET),
    ("ENCRYPTION_KEYS", f"{KEY},{SECRET}"),
    ("ENCRYPTION_KEYS", f"{SECRET},{KEY}"),
    ("ENCRYPTION_KEYS", f"{SECRET}-ü"),
    ("ENCRYPTION_KEYS", ""),
    ("ENCRYPTION_KEYS", " , "),
    ("CNAME_TARGETS", ""),
    ("CNAME_TARGETS", " , ,"),
    ("CNAME_TARGETS", "edge.platform.example,edge..example"),
    ("CNAME_TARGETS", "edge.platform.example/"),
    ("CNAME_TARGETS", "edge"),
    ("CNAME_TARGETS", "a." * 98 + "example"),
    ("CNAME_TARGETS", "a" * 64 + ".example"),
    ("CNAME_TARGETS", "kante.plattform-für-alle.example"),
    ("ACME_DIRECTORY", ""),
    ("ACME_DIRECTORY", "ca.example/directory"),
    ("ACME_DIRECTORY", "ftp://ca.example/directory"),
    ("ACME_DIRECTORY", "https://"),
    ("ACME_DIRECTORY", "https://[::1/directory"),
    ("ACME_CA_BUNDLE", "/nowhere/bundle.pem"),
    ("ACME_CA_BUNDLE", "/"),
    ("ACME_CA_BUNDLE", __file__),
    ("ACME_DIRECTORY", "https://user:secret@ca.example/directory"),
    ("ACME_DIRECTORY", "https://ca.example/direc tory"),
    ("ACME_DIRECTORY", "https://ca.example:99999/directory"),
    ("CAS", "https://ca.example/directory"),
    ("CAS", "{}"),
    ("CAS", "[1]"),
    ("CAS", "[" * 100_000),
    ("CAS", "[{}]"),
    ("CAS", '[{"directory": "ca.example"}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "weigth": 1}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "weight": -1}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "hosts": "one host"}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "eab_key_id": "kid"}]'),
    ("CAS", f'[{{"directory": "https://ca.example/d", "eab_hmac_key": "{SECRET}"}}]'),
    ("CAS", f'[{{"directory": "https://ca.example/d", "eab_key_id": "kid", "eab_hmac_key": "{SECRET}+/"}}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "limits": {"new_orders": "300"}}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "limits": {"new_orders": "0/h"}}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "limits": {"new_orders": "3/0h"}}]'),
    ("CAS", '[{"directory": "https://ca.example/d", "limits": {"requests_per_second": -1}}]'),
    ("CAS", '[{"directory": "https://ca.example/d"}, {"directory": "https://ca.example/d"}]'),
    ("ACME_TIMEOUT_SECONDS", "0"),
    ("ACME_TIMEOUT_SECONDS", "61"),
    ("ACME_TIMEOUT_SECONDS", "nan"),
    ("ACME_TIMEOUT_SECONDS", "ten"),
    ("ALLOW_RESERVED_NAMES", "perhaps"),
    ("ALLOW_VOLATILE_REDIS", "perhaps"),
    ("ACCEPT_PROXIED_NAMES", "sometimes"),
    ("ACME_TERMS_AGREED", "perhaps"),
    ("DNS_SERVERS", "dns.example"),
    ("DNS_SERVERS", "192.0.2.1,[::1"),
    ("DNS_TIMEOUT_SECONDS", "-1"),
    ("DNS_TIMEOUT_SECONDS", "5"),
    ("SELF_CHECK_SECONDS", "0"),
    ("SELF_CHECK_TEST_PORT", "65536"),
    ("OWN_NAMES", "a.example,https://b.example"),
    ("OWN_NAMES", "*.platform.example"),
    ("OWN_NAMES", "plat form.example"),
    ("KEY_TYPE", "rsa-1024"),
    ("KEY_TYPE", "EC-P256"),
    ("KEY_TYPE", ""),
    ("STEP_SECONDS", "1"),
    ("STEP_SECONDS", "601"),
    ("STEP_SECONDS", "60.5"),
    ("RENEWALS_PER_SECOND", "0"),
    ("RENEWALS_PER_SECOND", "1001"),
    ("RENEWALS_AT_ONCE", "0"),
    ("RENEWALS_AT_ONCE", "2.5"),
    ("NEW_NAMES_PER_REGISTERED_DOMAIN", "-1"),
    ("RECONCILE_SECONDS", "0"),
    ("RECONCILE_SECONDS", "inf"),
    ("IDENTITY_FILE", "store-identity"),
    ("IDENTITY_FILE", "./state/store-identity"),
    ("IDENTITY_FILE", "~/store-identity"),
    ("MISSING_DAYS", "0"),
    ("MISSING_DAYS", "-7"),
    ("MISSING_DAYS", "7d"),
    ("MISSING_DAYS", "nan"),
    ("HOLD_DAYS", "-1"),
    ("HOLD_DAYS", "1.5"),
    ("HOLDER_PROOF", "TXT"),
    ("HOLDER_PROOF", "none"),
    ("HSTS_MAX_AGE_SECONDS", "-1"),
    ("HSTS_MAX_AGE_SECONDS", "1000000000000"),
    ("EDGE_TOKEN", SECRET[:20]),
    ("EDGE_TOKEN", f"{SECRET} with blanks in it"),
    ("EDGE_ADDRESSES", "edge.platform.example"),
    ("EDGE_ADDRESSES", "192.0.2.1:443,[::1]"),
    ("EDGE_ADDRESSES", "https://edge.platform.example:443"),
    ("EDGE_ADDRESSES", "edge.platform.example:65536"),
    ("ALARM_COMMAND", "notify 'the operator"),
    ("ALARM_COMMAND", "  "),
    ("ALARM_URL", f"ftp://hooks.example/{SECRET}"),
    ("ALARM_URL", f"https://[{SECRET}]/hook"),
    ("SENTRY_DSN", f"ftp://{SECRET}@sentry.example/1"),
    ("OTLP_URL", f"udp://{SECRET}:4318"),
    ("LOG_FORMAT", "xml"),
    ("LOG_LEVEL", "LOUD"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + variable, value)
    (line,) = refusal()
    assert line.startswith(f"ISSUER_{variable}")
    assert len(line) > len(f"ISSUER_{variable}: ")
    assert line.isprintable()
    assert SECRET not in line
    assert KEY not in line


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("edge:443", ("edge", 443)),
        ("edge-1.platform.example:8443", ("edge-1.platform.example", 8443)),
        ("192.0.2.1:443", ("192.0.2.1", 443)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
    ],
)
def test_addresses_of_edges(text: str, address: tuple[str, int]) -> None:
    assert parse_edge_address(text) == address


def test_every_setting_that_can_be_wrong_is_in_the_table() -> None:
    free_text = {"acme_contact"}
    assert {variable.lower() for variable, _ in WRONG} == set(Settings.model_fields) - free_text


@pytest.mark.parametrize(("variable", "hint"), [("ENCRYPTION_KEYS", "new-encryption-key"), ("CNAME_TARGETS", "CNAME")])
def test_what_has_no_default_must_be_set_and_the_line_says_how(
    monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.delenv(PREFIX + variable)
    (line,) = refusal()
    assert line.startswith(f"ISSUER_{variable}")
    assert hint in line.removeprefix(f"ISSUER_{variable}")


def test_each_wrong_variable_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "KEY_TYPE": "x",
        "DNS_SERVERS": "x",
        "ENCRYPTION_KEYS": SECRET,
        "STEP_SECONDS": "x",
    }.items():
        monkeypatch.setenv(PREFIX + variable, value)
    lines = refusal()
    assert {line.split(":")[0] for line in lines} == {
        "ISSUER_KEY_TYPE",
        "ISSUER_DNS_SERVERS",
        "ISSUER_ENCRYPTION_KEYS",
        "ISSUER_STEP_SECONDS",
    }
    assert len(lines) == 4
    assert SECRET not in "".join(lines)


def test_each_variable_that_is_not_set_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    assert [line.split()[0].strip(":") for line in refusal()] == list(NEEDED)


@pytest.mark.parametrize("text", [f"{KEY},{OTHER_KEY}", f" {KEY} , {OTHER_KEY} ", f",{KEY},,{OTHER_KEY},"])
def test_f03_several_encryption_keys_keep_their_order(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ISSUER_ENCRYPTION_KEYS", text)
    assert secrets(load_settings().encryption_keys) == [KEY, OTHER_KEY]


@pytest.mark.parametrize("name", ["cname_targets", "own_names"])
def test_b05_names_are_split_and_folded(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), " Edge.Platform.Example. ,b.example,, C.EXAMPLE")
    assert getattr(load_settings(), name) == ("edge.platform.example", "b.example", "c.example")


def test_dns_servers_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_DNS_SERVERS", "192.0.2.1, [2001:db8::1]:5353,2001:db8::2")
    servers = load_settings().dns_servers
    assert [parse_dns_server(one) for one in servers] == [
        ("192.0.2.1", 53),
        ("2001:db8::1", 5353),
        ("2001:db8::2", 53),
    ]


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("::1", ("::1", 53)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:1", ("2001:db8::53", 1)),
    ],
)
def test_a_dns_server_is_an_address_with_or_without_a_port(text: str, server: tuple[str, int]) -> None:
    assert parse_dns_server(text) == server


NO_DNS_SERVERS = (
    "|dns.example|dns.example:53|192.0.2|192.0.2.1:|192.0.2.1:0|192.0.2.1:65536|192.0.2.1:-1|192.0.2.1:x|:53"
    "|192.0.2.1:53:53|192.0.2.1/24|https://192.0.2.1|192.0.2.1:5_3|[::1|::1]|[]|[]:53|[::1]:0|[::1]:x|[::1]::53"
    "|[::1]x|[::1]53|[[::1]]:53|[dns.example]:53"
)


@pytest.mark.parametrize("text", NO_DNS_SERVERS.split("|"))
def test_anything_else_is_no_dns_server(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address with or without :port"):
        parse_dns_server(text)


def test_as_environment_gives_the_same_settings_to_a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (bundle := tmp_path / "ca.pem").write_bytes(FakeCa(FakeClock(), str).root.public_bytes(Encoding.PEM))
    settings = load_settings(
        redis_url=f"rediss://:{SECRET}@h:7000/3",
        broker_url="redis://broker.example/7",
        encryption_keys=f"{KEY},{OTHER_KEY}",
        acme_directory="https://ca.example/d",
        acme_ca_bundle=str(bundle),
        cas=f'[{{"directory": "https://ca.example/d", "eab_key_id": "kid", "eab_hmac_key": "{KEY}"}}, {{"directory": '
        '"https://b.example/d", "hosts": "c.example,d.example", "weight": 2, "limits": {"new_orders": "9/2h"}}]',
        acme_contact="ops@platform.example",
        acme_terms_agreed=True,
        acme_timeout_seconds=2.5,
        cname_targets="a.example,b.example",
        own_names="own.example",
        allow_reserved_names=True,
        allow_volatile_redis=True,
        accept_proxied_names=True,
        dns_servers="[::1]:5353,192.0.2.1",
        dns_timeout_seconds=0.5,
        self_check_seconds=1.5,
        self_check_test_port=8080,
        key_type="rsa-2048",
        step_seconds=33,
        renewals_per_second=7.5,
        renewals_at_once=70,
        new_names_per_registered_domain=7,
        hold_days=7,
        identity_file="/var/lib/issuer/store-identity",
        missing_days=1.5,
        holder_proof="txt",
        hsts_max_age_seconds=3600,
        edge_token=f"{SECRET}-and-more",
        edge_addresses="edge1.internal:443,[::1]:8443",
        reconcile_seconds=0.25,
        alarm_command="notify --to 'the operator'",
        alarm_url=f"https://hooks.example/{SECRET}",
        sentry_dsn=f"https://{SECRET}@sentry.example/1",
        otlp_url="http://127.0.0.1:4318",
        log_format="json",
        log_level="DEBUG",
    )
    environment = settings.as_environment()
    assert set(environment) == {PREFIX + name.upper() for name in Settings.model_fields}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


@pytest.mark.parametrize(("text", "rate"), [("300/3h", (300, 10800)), ("1/s", (1, 1)), ("5/7d", (5, 604800))])
def test_a_rate_is_so_many_in_a_time(text: str, rate: tuple[int, int]) -> None:
    (ca,) = load_settings(cas=f'[{{"directory": "https://ca.example/d", "limits": {{"per_name": "{text}"}}}}]').cas
    assert ca.allowed.per_name == rate
    assert (ca.allowed.new_orders, ca.allowed.requests_per_second) == (None, 0)


def test_what_is_known_of_a_ca_holds_where_nothing_else_is_set() -> None:
    directory = "https://acme-v02.api.letsencrypt.org/directory"
    (ca,) = load_settings(acme_directory=directory).authorities
    assert ca.allowed.new_orders == (300, 3 * 3600)
    assert ca.allowed.per_registered_domain == (50, 7 * 86400)
    assert ca.allowed.per_name == (5, 7 * 86400)
    assert ca.allowed.failed_authorizations == (5, 3600)
    limits = '{"new_orders": "3000/3h", "per_name": ""}'
    (ca,) = load_settings(cas=f'[{{"directory": "{directory}", "limits": {limits}}}]').authorities
    assert (ca.allowed.new_orders, ca.allowed.per_name) == ((3000, 3 * 3600), None)
    assert ca.allowed.per_registered_domain == (50, 7 * 86400)


def test_the_cas_of_the_list_replace_the_one_directory() -> None:
    settings = load_settings(acme_directory="https://a.example/d", cas='[{"directory": "https://b.example/d"}]')
    assert [ca.directory for ca in settings.authorities] == ["https://b.example/d"]
    assert [ca.directory for ca in load_settings(acme_directory="https://a.example/d").authorities] == [
        "https://a.example/d"
    ]


def test_as_environment_has_only_what_has_been_set() -> None:
    assert load_settings(step_seconds=33).as_environment() == {**NEEDED, "ISSUER_STEP_SECONDS": "33"}


def test_the_environment_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_STEP_SECONDS", "44")
    settings = load_settings(step_seconds=33, key_type="ec-p384", cname_targets="other.example")
    assert (settings.step_seconds, settings.key_type) == (44, "ec-p384")
    assert settings.cname_targets == ("edge.platform.example",)


def test_f02_no_text_of_the_settings_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_REDIS_URL", f"redis://:{SECRET}@h/0")
    monkeypatch.setenv("ISSUER_BROKER_URL", f"redis://:{SECRET}@h/1")
    monkeypatch.setenv(
        "ISSUER_CAS", f'[{{"directory": "https://ca.example/d", "eab_key_id": "kid", "eab_hmac_key": "{SECRET}"}}]'
    )
    settings = load_settings()
    for text in (repr(settings), str(settings), f"{settings}", settings.model_dump_json(), repr(settings.model_dump())):
        assert SECRET not in text
        assert KEY not in text
