"""The Celery application: its queues, and how it handles messages."""

from collections.abc import Callable

from celery import Celery
from celery.signals import setup_logging
from kombu.entity import Exchange, Queue

from issuer import schedule, tasks
from issuer.celery_app import broker, heartbeats
from issuer.config import Settings
from issuer.domain import CHAIN
from issuer.fleet.queues import BULK, HOUSEKEEPING, INTERACTIVE, LOOKUP, QUEUES, RENEWAL
from issuer.ports import Services

__all__ = ["BULK", "HOUSEKEEPING", "INTERACTIVE", "LOOKUP", "QUEUES", "RENEWAL", "create_celery"]

VISIBILITY_SECONDS = 3600
"""After this time Redis delivers an unacknowledged message to another worker. It is longer than any step with its
waits."""


def create_celery(settings: Settings, services: Callable[[], Services]) -> Celery:
    """A Celery application with the steps and the beat table. services: called when a task first needs the services."""
    app = Celery(
        "issuer", amqp=broker.Messaging, task_cls=broker.Task, broker=settings.celery_broker_url, set_as_current=False
    )
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_default_queue=INTERACTIVE,
        task_create_missing_queues=False,
        task_routes={step.value: {"queue": INTERACTIVE} for step in CHAIN}
        | {scan.name: {"queue": LOOKUP if scan.is_slow else HOUSEKEEPING} for scan in schedule.SCANS},
        task_acks_late=True,
        task_soft_time_limit=settings.soft_limit_seconds,
        task_time_limit=settings.hard_limit_seconds,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "max_retries": 0,  # of publishing: the web process answers 503, and the workers keep reconnecting anyway
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": 3,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
        beat_max_loop_interval=max(settings.reconcile_seconds, 1),
        timezone="UTC",
    )
    tasks.register(app, services)
    schedule.register(app, services, settings.reconcile_seconds)
    heartbeats.register(app, services)
    return app


@setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_our_logs(**_: object) -> None:
    """Celery does not configure logging if a receiver of this signal is connected."""
