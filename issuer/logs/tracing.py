"""Spans to OpenTelemetry, if `ISSUER_OTLP_URL` is set: one for each request and for each run of a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from issuer.logs.optional import load

SETTING, EXTRA = "ISSUER_OTLP_URL", "opentelemetry"


class Tracing:
    """The spans of this process: none before `start`."""

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None

    def start(self, url: str, release: str) -> None:
        """Send spans to an OTLP receiver (HTTP) from now on; nothing if its URL is empty. Raises SystemExit if the
        packages are not installed."""
        if not url or self._tracer:
            return
        exporter = load("opentelemetry.exporter.otlp.proto.http.trace_exporter", setting=SETTING, extra=EXTRA)
        export = load("opentelemetry.sdk.trace.export", setting=SETTING, extra=EXTRA)
        url = f"{url.rstrip('/')}/v1/traces"
        self.use(export.BatchSpanProcessor(exporter.OTLPSpanExporter(endpoint=url)), release)

    def use(self, processor: Any, release: str) -> None:
        """Give spans to a span processor from now on."""
        trace = load("opentelemetry.sdk.trace", setting=SETTING, extra=EXTRA)
        resources = load("opentelemetry.sdk.resources", setting=SETTING, extra=EXTRA)
        resource = resources.Resource.create({"service.name": "issuer", "service.version": release})
        self._provider = trace.TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("issuer")

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[dict[str, Any]]:
        """A span around what is done. Attributes that are known only at its end are put into what it gives."""
        if self._tracer is None:
            yield {}
            return
        with self._tracer.start_as_current_span(name, attributes=attributes) as span:
            later: dict[str, Any] = {}
            yield later
            span.set_attributes(later)


TRACING = Tracing()
