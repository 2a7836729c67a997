"""The border of background work that somebody waits for: however it ends, its job says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError

from compliance.journal.slots import NoSlot
from tenants import jobs

log = logging.getLogger(__name__)


class Abandoned(Exception):
    """The job is over or gone: nobody waits for it any more."""


class TookTooLong(Exception):
    """The job had the time it may have."""


@contextmanager
def told_how_it_ends(job_id: int, *, limit: float, shorter: str, failed: str) -> Iterator[None]:
    """What goes wrong inside becomes the job's error. `limit` is in seconds; `shorter` says what to ask for instead of
    what took longer, `failed` what is said of a mistake in the program."""
    try:
        yield
    except TookTooLong:
        jobs.fail_job(job_id=job_id, error=f"It took longer than {limit / 60:.0f} minutes. {shorter}")
        log.warning("job %s took too long", job_id)
    except Abandoned:
        log.info("job %s was given up: it is over or gone", job_id)
    except (DatabaseError, NoSlot) as error:
        jobs.fail_job(job_id=job_id, error="The journal or the configuration could not be read. Try again.")
        log.error("job %s failed: %s", job_id, error)
    except OSError as error:
        jobs.fail_job(job_id=job_id, error=f"The result could not be stored: {error.strerror or error}")
        log.error("job %s failed: %s", job_id, error)
    except Exception:  # noqa: BLE001  # border: whoever waits for the job must hear of a mistake in the program too
        jobs.fail_job(job_id=job_id, error=failed)
        log.exception("job %s failed", job_id)
