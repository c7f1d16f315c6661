"""Errors to Sentry, if `ISSUER_SENTRY_DSN` is set: the traceback and the log line, and nothing that may be a secret."""

from typing import Any

from issuer.logs.optional import load

KEPT_OF_REQUEST = ("method",)


def start(dsn: str, release: str) -> None:
    """Report errors of this process from now on; nothing if the DSN is empty. Raises SystemExit if the package is not
    installed, or if the DSN is none."""
    if not dsn:
        return
    sdk = load("sentry_sdk", setting="ISSUER_SENTRY_DSN", extra="sentry")
    try:
        sdk.init(
            dsn=dsn,
            release=f"issuer@{release}",
            include_local_variables=False,  # some are keys
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,  # they have URLs with tokens
            before_send=_without_secrets,
        )
    except ValueError:
        raise SystemExit("ISSUER_SENTRY_DSN: it is not a DSN, such as https://KEY@sentry.example.com/1") from None


def _without_secrets(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """An event without headers, cookies, body, URL and query of its request: some have tokens. Of our own log lines it
    has the fields."""
    line = getattr(hint.get("log_record"), "msg", None)
    if isinstance(line, dict):
        event["logentry"] = {"message": str(line.get("event"))}
        event["extra"] = {name: value for name, value in line.items() if isinstance(value, str | int | float)}
    if request := event.pop("request", None):
        event["request"] = {name: request[name] for name in KEPT_OF_REQUEST if name in request}
    for frame in _frames(event):
        frame.pop("vars", None)
    return event


def _frames(event: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [*event.get("exception", {}).get("values", ()), *event.get("threads", {}).get("values", ())]
    return [frame for part in parts for frame in (part.get("stacktrace") or {}).get("frames", ())]
