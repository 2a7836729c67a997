"""What deploy/ says, read as those who run it read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "docker-compose.prod.yml"
KUBERNETES = DEPLOY / "kubernetes"


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def objects(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def pod_specs(kubernetes: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, specification) of everything that becomes a pod."""
    for each in kubernetes:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(kubernetes: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pod's name, container), those that come first included."""
    for name, pod in pod_specs(kubernetes):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield name, container
