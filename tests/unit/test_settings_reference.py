"""What `issuer settings` prints: meanings, defaults, present values, and never a secret."""

import pytest
from click.testing import CliRunner

from issuer.cli import main
from issuer.config import Settings, describe_settings, load_process_settings, settings_markdown
from issuer.config.cas import CaLimits, CaSettings
from issuer.config.processes import ProcessSettings
from issuer.keys import new_encryption_key
from tests.unit.test_config import SECRET, environment

__all__ = ["environment"]
MODELS = (Settings, ProcessSettings, CaSettings, CaLimits)


def present(variable: str) -> str:
    return next(setting.present for setting in describe_settings() if setting.variable == variable)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_says_what_it_means_in_sentences(model: type) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description[0].isupper(), name
        assert field.description.endswith("."), name
        assert "|" not in field.description, name


def test_a_setting_is_shown_with_its_bounds_default_and_present_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_STEP_SECONDS", "033")
    monkeypatch.setenv("ISSUER_OWN_NAMES", "A.example, b.example.")
    (step,) = (setting for setting in describe_settings() if setting.variable == "ISSUER_STEP_SECONDS")
    assert (step.values, step.default, step.present) == ("2 to 600", "60", "33")
    assert present("ISSUER_OWN_NAMES") == "a.example, b.example"
    assert present("ISSUER_KEY_TYPE") == "ec-p256"


def test_f02_a_secret_that_is_set_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [new_encryption_key(), new_encryption_key()]
    monkeypatch.setenv("ISSUER_ENCRYPTION_KEYS", ",".join(keys))
    monkeypatch.setenv("ISSUER_REDIS_URL", f"redis://:{SECRET}@redis.internal/0")
    monkeypatch.setenv("ISSUER_BROKER_URL", f"amqp://:{SECRET}@redis.internal/0")
    monkeypatch.setenv("ISSUER_EDGE_TOKEN", f"{SECRET}-and-more")
    binding = f'"eab_key_id": "kid", "eab_hmac_key": "{SECRET}"'
    monkeypatch.setenv("ISSUER_CAS", f'[{{"directory": "https://ca.example/d", {binding}}}]')
    text = repr(describe_settings())
    assert not [secret for secret in (SECRET, *keys) if secret in text]
    assert present("ISSUER_REDIS_URL") == present("ISSUER_EDGE_TOKEN") == "set, and not shown"
    assert present("ISSUER_BROKER_URL") == "wrong: not a redis:// or rediss:// URL with a host"
    assert "https://ca.example/d" in present("ISSUER_CAS")


def test_a_wrong_or_missing_value_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISSUER_CNAME_TARGETS")
    monkeypatch.setenv("ISSUER_KEY_TYPE", "rsa-512")
    assert present("ISSUER_CNAME_TARGETS") == "none (required)"
    assert present("ISSUER_KEY_TYPE").startswith("wrong: Input should be 'ec-p256'")


def test_the_page_does_not_depend_on_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings_markdown()
    monkeypatch.setenv("ISSUER_STEP_SECONDS", "33")
    assert settings_markdown() == before
    for model in MODELS:
        for name in model.model_fields:
            assert f"{name}` |" in before or f"{name.upper()}` |" in before


@pytest.mark.parametrize("variable", ["PORT", "WEB_CONCURRENCY", "WORKER_CONCURRENCY", "RENEWAL_CONCURRENCY"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "70000", "1.5"])
def test_a_wrong_number_of_a_process_is_a_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit, match=f"^{variable}: Input should be [^\n]*$"):
        load_process_settings()


def test_an_empty_variable_of_a_process_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ProcessSettings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert load_process_settings().model_dump() == {
        name: field.default for name, field in ProcessSettings.model_fields.items()
    }


def test_the_command_prints_every_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_EDGE_TOKEN", f"{SECRET}-and-more")
    monkeypatch.setenv("ISSUER_STEP_SECONDS", "33")
    output = CliRunner().invoke(main, ["settings"], catch_exceptions=False).output
    assert [line for line in output.splitlines() if not line.startswith(" ")] == [
        setting.variable for setting in describe_settings()
    ]
    assert "  default: 60\n  present: 33\n" in output
    assert "  present: set, and not shown\n" in output
    assert SECRET not in output
    assert CliRunner().invoke(main, ["settings", "--markdown"]).output == settings_markdown()
