"""The model instance a start makes: the one the settings name, else the local model, else an echo."""

from __future__ import annotations

from django.conf import settings

from clawdbot_site.serving import localmodel
from routing.models import ModelInstance
from routing.services import ensure_default_instance, ensure_local_instance, save_instance, wants_local_model

FALLBACK = "fallback"  # the label of the echo that stands in for a local model this platform cannot run


def local_model_wanted() -> bool:
    """Whether `manage.py localmodel` should run; asked before `ensure`."""
    if settings.MODEL_ENDPOINT or not settings.LOCAL_MODEL:
        return False
    if localmodel.missing() is None:
        for stand_in in _stand_ins():
            stand_in.delete()  # what was missing has been installed since
    return wants_local_model()


def ensure(local_port: int | None) -> None:
    """`local_port`: where the local model listens; None: it does not run."""
    ensure_default_instance(
        endpoint=settings.MODEL_ENDPOINT,
        api_key=settings.API_KEY,
        name=settings.MODEL_NAME,
        timeout=settings.MODEL_TIMEOUT,
    )
    if settings.MODEL_ENDPOINT:
        for stand_in in _stand_ins():
            stand_in.delete()
    if local_port is not None:
        ensure_local_instance(endpoint=f"http://127.0.0.1:{local_port}/v1", context_window=localmodel.CONTEXT)
    elif not ModelInstance.objects.everywhere().exists():
        save_instance(instance=ModelInstance(name="echo", label=FALLBACK, adapter="echo"))


def _stand_ins() -> list[ModelInstance]:
    rows = ModelInstance.objects.everywhere()
    return list(rows.filter(tenant__isnull=True, label=FALLBACK, adapter="echo"))
