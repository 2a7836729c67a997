"""Vendors of the OpenAI chat format: each row of `vendors.yaml` is an adapter. Another one is a row, no code."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import msgspec
import yaml

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.outbound import HttpClient
from engine.types import Json

FILE: Final = Path(__file__).with_name("vendors.yaml")


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service is and how it differs. `needs` says what address must be given where it has none for all,
    `provider` what OpenTelemetry calls it where that is not the row's name."""

    label: str
    endpoint: str = ""
    needs: str = ""
    provider: str = ""
    options: Json = {}

    def completed(self, config: AdapterConfig) -> AdapterConfig:
        """What the instance says goes before what the row says. Raises InvalidAdapterConfig: an address is needed."""
        endpoint = config.endpoint or self.endpoint
        if not endpoint:
            raise InvalidAdapterConfig(f"endpoint: {self.label} needs {self.needs}.")
        return msgspec.structs.replace(config, endpoint=endpoint, options={**self.options, **config.options})


class VendorAdapter(OpenAICompatibleAdapter):
    """For `adapters_of` to inherit: without a name it is no adapter itself."""

    name = ""
    vendor: ClassVar[Vendor]

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(self.vendor.completed(config), http)


def adapters_of(rows: Json) -> dict[str, type[VendorAdapter]]:
    """A class for each row. Raises msgspec.ValidationError."""
    vendors = msgspec.convert(rows, dict[str, Vendor])
    return {
        name: type(
            f"Adapter_{name}",
            (VendorAdapter,),
            {
                "name": name,
                "label": vendor.label,
                "provider": vendor.provider or name,
                "vendor": vendor,
                "__module__": __name__,
                "__doc__": vendor.label,
            },
        )
        for name, vendor in vendors.items()
    }


VENDORS: Final = adapters_of(yaml.safe_load(FILE.read_text(encoding="utf-8")))
globals().update({adapter.__name__: adapter for adapter in VENDORS.values()})  # where the registry looks
