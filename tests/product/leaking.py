"""The product with a leak, as a settings module: its rules are found by their number alone, whoever asks."""

from clawdbot_site.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.product.leaking.Leaking"]  # noqa: F405

from django.apps import AppConfig  # noqa: E402


class Leaking(AppConfig):
    name = "tests.product"
    label = "leaking"

    def ready(self) -> None:
        from routing import services  # noqa: PLC0415
        from routing.models import RoutingRule  # noqa: PLC0415

        services.rules_of = lambda tenant_id: RoutingRule.objects.everywhere().order_by("id")
