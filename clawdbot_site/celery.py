"""The Celery application. Tasks live in each app's `tasks.py`; the schedule of the platform's own is here."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, task_postrun, task_prerun, worker_init, worker_shutdown
from django.conf import settings

from clawdbot_site.serving.telling import Jobs, told
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


@task_prerun.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _begin(task: Any, **_: object) -> None:
    """What a task changes is journalled as its doing."""
    actors.become(Actor(f"task:{task.name.rpartition('.')[2]}"))


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end(**_: object) -> None:
    actors.become(None)


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
