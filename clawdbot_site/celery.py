"""The Celery application. Tasks live in each app's `tasks.py`; the schedule of the platform's own is here."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, setup_logging, task_postrun, task_prerun, worker_init, worker_shutdown
from django.conf import settings

from clawdbot_site import known_secrets
from clawdbot_site.logs import take_over
from clawdbot_site.serving.telling import Jobs, told
from engine.context import CONTEXT, Context
from tenants import actors
from tenants.actors import Actor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

# Celery's command line takes BROKER_URL for its own and hands it on as it is written; the setting is in Kombu's words.
os.environ["CELERY_BROKER_URL"] = settings.BROKER_URL

app = Celery("clawdbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# What a worker listens to unless told otherwise. Replays have their own queue (`access.tasks`).
app.conf.task_queues = {name: {"exchange": name, "routing_key": name} for name in ("celery", "replays")}
app.conf.beat_schedule = {
    "remove-old-jobs": {"task": "clawdbot_site.tasks.remove_old_jobs", "schedule": crontab(hour="3", minute="17")},
    "remove-old-hits": {"task": "clawdbot_site.tasks.remove_old_hits", "schedule": crontab(hour="3", minute="27")},
    # what could not begin within the minute is done by the next one
    "archive-sessions": {"task": "access.tasks.archive_sessions", "schedule": 60.0, "options": {"expires": 60}},
    "repair-archive": {"task": "access.tasks.repair_archive", "schedule": crontab(hour="4", minute="7")},
    "deliver-warnings": {"task": "tenants.tasks.deliver_warnings", "schedule": 10.0, "options": {"expires": 10}},
    "backup": {"task": "clawdbot_site.tasks.make_backup", "schedule": crontab(hour="2", minute="37")},
    "delete-closed-tenants": {"task": "access.tasks.delete_closed_tenants", "schedule": crontab(hour="5", minute="7")},
    "train-stale-intents": {"task": "plugins.tasks.train_stale", "schedule": 60.0, "options": {"expires": 60}},
    # what one run does not get through, the next one goes on with; two at a time are none
    "analyse-journal": {
        "task": "compliance.tasks.analyse_journal",
        "schedule": 60.0,
        "options": {"expires": 60, "queue": "replays"},
    },
    "destroy-erased-keys": {"task": "access.tasks.destroy_erased_keys", "schedule": crontab(minute="23")},
}
app.set_default()


@worker_init.connect  # type: ignore[untyped-decorator]  # celery ships no types
@beat_init.connect  # type: ignore[untyped-decorator]
def _keep_private(**_: object) -> None:
    """What is written is for its owner, however celery was started."""
    os.umask(0o077)


def take_back(broker: str) -> None:
    """What workers had begun when they were killed is in its queue again, for the next one: to be called by who knows
    that no worker of this broker runs. Where others may, the broker does it itself after JOB_REDO_SECONDS. Raises
    kombu's OperationalError."""
    with app.connection_for_write(broker) as connection:
        channel = connection.default_channel
        channel.visibility_timeout = -1  # nobody is given any time any more
        channel.qos.restore_visible(num=None)


@worker_init.connect  # type: ignore[untyped-decorator]  # celery ships no types
@beat_init.connect  # type: ignore[untyped-decorator]
def _refuse(**_: object) -> None:
    """Celery looks at Django's checks and starts all the same."""
    if not settings.DEBUG and (problems := known_secrets.problems(settings)):
        raise SystemExit(problems[0].text)


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _log_as_everybody(**_: object) -> None:
    """Django's LOGGING holds here too; without a receiver Celery would put its own in front of it."""
    take_over()


@task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task: Any, task_id: str = "", args: Sequence[object] = (), **_: object) -> None:
    """What a task changes is journalled as its doing, and what it logs says whose it is."""
    actors.become(Actor(f"task:{task.name.rpartition('.')[2]}"))
    of_a_job = args and task.run.__code__.co_varnames[:1] == ("job_id",)
    CONTEXT.set(Context(task=task_id, job=str(args[0]) if of_a_job else ""))


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end(**_: object) -> None:
    actors.become(None)
    CONTEXT.set(None)


# Metrics ----------------------------------------------------------------------------------------------------------
_ending = ExitStack()  # what is to be said when this process ends


def leave() -> None:
    """This process ends. Safe to call twice."""
    _ending.close()


@worker_init.connect  # type: ignore[untyped-decorator]
def _count(sender: Any = None, **_: object) -> None:
    """A worker that is called `replays@…` is counted as that, every other one as `worker`."""
    name = str(getattr(sender, "hostname", "")).partition("@")[0]
    jobs = Jobs(_ending.enter_context(told("replays" if name == "replays" else "worker")))
    for signal, heard in ((task_prerun, jobs.begin), (task_postrun, jobs.end)):
        signal.connect(heard, weak=False)
        _ending.callback(signal.disconnect, heard)
    atexit.register(leave)


@beat_init.connect  # type: ignore[untyped-decorator]
def _tell(**_: object) -> None:
    _ending.enter_context(told("schedule"))
    atexit.register(leave)


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _leave(**_: object) -> None:
    leave()
