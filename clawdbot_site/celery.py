"""The Celery application. Tasks live in each app's `tasks.py`; the schedule of the platform's own is here."""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

app = Celery("clawdbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# What a worker listens to unless told otherwise. Replays have their own queue (`access.tasks`).
app.conf.task_queues = {name: {"exchange": name, "routing_key": name} for name in ("celery", "replays")}
app.conf.beat_schedule = {
    "remove-old-jobs": {"task": "clawdbot_site.tasks.remove_old_jobs", "schedule": crontab(hour="3", minute="17")},
    "destroy-erased-keys": {"task": "access.tasks.destroy_erased_keys", "schedule": crontab(minute="23")},
}
app.set_default()
