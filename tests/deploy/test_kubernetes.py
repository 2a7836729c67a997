"""The Helm chart and the plain manifests: one truth, valid from the oldest Kubernetes on, as strict as they say."""

from __future__ import annotations

import ipaddress
import re
import subprocess

import kubernetes_validate
import pytest
from django.urls import get_resolver

from access.body_limits import PAGE_BYTES
from tests.clawdbot_site.test_settings_page import names_read
from tests.deploy.manifests import KUBERNETES, containers, objects, pod_specs
from tools import manifests

# The oldest the manifests are for, and the newest that this kubernetes-validate has as well.
VERSIONS = ("1.24", "1.29")
IN_1_24 = {
    "v1": {"ConfigMap", "Namespace", "PersistentVolumeClaim", "Service", "ServiceAccount"},
    "apps/v1": {"Deployment", "StatefulSet"},
    "batch/v1": {"CronJob", "Job"},
    "policy/v1": {"PodDisruptionBudget"},
    "networking.k8s.io/v1": {"Ingress", "NetworkPolicy"},
    "autoscaling/v2": {"HorizontalPodAutoscaler"},
}
IMAGE = "registry.example.com/clawdbot/server:latest"
OPERATORS_OWN = "monitoring.coreos.com/v1"  # Prometheus operator's kinds, which Kubernetes has no schema of
EVERYTHING_ON = ("--set", "autoscaling.enabled=true,monitoring.enabled=true,monitoring.rules.groups[0].name=x")
EVERYTHING_OFF = (
    "--set",
    "grpc.enabled=false,ingress.enabled=false,storage.enabled=false,valkey.enabled=false,postgres.enabled=false,"
    "backup.enabled=false,networkPolicy.enabled=false,settings.REDIS_HOST=redis-cluster.default.svc",
)
OWN_CHOICES = (
    "--set",
    "image.repository=elsewhere.example/a/b,image.digest=sha256:00,grpc.metricsPort=0,image.pullSecrets[0].name=pull,nodeSelector.disk=fast,"
    "tolerations[0].operator=Exists,storage.className=nfs,valkey.className=ssd,postgres.className=ssd,"
    "networkPolicy.from[0].podSelector.matchLabels.app=ingress,networkPolicy.to[0].ipBlock.cidr=10.1.2.3/32,"
    "networkPolicy.metricsFrom=null",
)


@pytest.fixture(scope="module")
def default():
    return objects(manifests.render())


@pytest.fixture(scope="module")
def ours(default):
    """Containers of our image."""
    return [(pod, each) for pod, each in containers(default) if each["image"] == IMAGE]


@pytest.mark.parametrize("options", [(), EVERYTHING_ON, EVERYTHING_OFF, OWN_CHOICES], ids=["", "on", "off", "own"])
def test_it_is_valid(options):
    rendered = objects(manifests.render(*options))
    assert rendered
    for each in rendered:
        if each["apiVersion"] == OPERATORS_OWN:
            continue
        assert each["kind"] in IN_1_24[each["apiVersion"]]
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)


def test_a_field_that_does_not_exist_is_noticed(default):
    broken = next(each for each in default if each["kind"] == "Deployment")
    broken = {**broken, "spec": {**broken["spec"], "replicaz": 5}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_helm_itself_has_no_complaint():
    done = subprocess.run(
        [manifests.helm(), "lint", "--strict", str(manifests.CHART)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_the_plain_manifests_are_the_chart():
    assert {path: path.read_text(encoding="utf-8") for path in manifests.files()} == manifests.files()


def test_the_namespace_is_valid_and_strict():
    [namespace] = objects((KUBERNETES / "namespace.yaml").read_text())
    kubernetes_validate.validate(namespace, VERSIONS[0], strict=True)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_five_web_pods_with_what_they_ask_for(default):
    web = next(each for each in default if each["kind"] == "Deployment" and each["metadata"]["name"] == "clawdbot-web")
    assert web["spec"]["replicas"] == 5
    [container] = web["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }
    assert {each["name"]: each.get("value") for each in container["env"]}["WORKERS"] == "2"
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"  # asks nothing else: a store's fault kills no pod


def test_a_pod_that_drains_is_not_killed_before(default):
    settings = next(each for each in default if each["kind"] == "ConfigMap")["data"]
    draining = int(settings["DRAIN_DELAY"]) + int(settings["DRAIN_TIMEOUT"])
    for name, pod in pod_specs(default):
        if name in ("clawdbot-web", "clawdbot-grpc"):
            assert pod["terminationGracePeriodSeconds"] > draining + 10


def test_every_pod_keeps_to_the_restricted_profile(default):
    for name, pod in pod_specs(default):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert all({"emptyDir", "secret", "configMap", "persistentVolumeClaim"} & set(v) for v in pod["volumes"]), name
    for name, container in containers(default):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert set(container["resources"]) == {"requests", "limits"}, name


def test_what_must_not_run_twice_does_not(default):
    once = {}
    for each in default:
        if each["kind"] == "Deployment":
            once[each["metadata"]["name"]] = (each["spec"]["replicas"], each["spec"]["strategy"]["type"])
    assert once["clawdbot-beat"] == once["clawdbot-sequencer"] == (1, "Recreate")


def test_every_setting_it_gives_is_one(default, ours):
    known = names_read() | {f"{name}_FILE" for name in names_read()}
    given = set(next(each for each in default if each["kind"] == "ConfigMap")["data"])
    given |= {each["name"] for _, container in ours for each in container.get("env", [])}
    assert given - known == set()


def test_every_secret_is_mounted_where_its_setting_looks(default):
    settings = next(each for each in default if each["kind"] == "ConfigMap")["data"]
    files = {value.rpartition("/")[2] for name, value in settings.items() if name.endswith("_FILE")}
    assert {"SECRET_KEY", "MASTER_KEY", "DATABASE_URL"} <= files
    for name, pod in pod_specs(default):
        if pod["containers"][0]["image"] == IMAGE:
            [volume] = [each["secret"] for each in pod["volumes"] if "secret" in each]
            assert {each["path"] for each in volume["items"]} == files, name


def test_every_server_can_be_scraped_and_no_label_is_overwritten(default):
    rendered = objects(manifests.render(*EVERYTHING_ON))
    services = [each for each in rendered if each["kind"] == "Service"]
    [monitor] = [each["spec"] for each in rendered if each["kind"] == "ServiceMonitor"]
    [choice] = monitor["selector"]["matchExpressions"]
    asked = {each["port"]: each for each in monitor["endpoints"]}
    found = {}
    for each in services:
        labels = each["metadata"]["labels"]
        if monitor["selector"]["matchLabels"].items() <= labels.items() and labels[choice["key"]] in choice["values"]:
            found[labels[choice["key"]]] = {port["name"] for port in each["spec"]["ports"]} & set(asked)
    assert found == {"web": {"http"}, "grpc": {"metrics"}}
    assert not any(each["honorLabels"] for each in asked.values())  # the rules say exported_instance
    assert monitor["jobLabel"] == "app.kubernetes.io/name"  # the rules go by the job, whatever the release's name
    [server] = [each for pod, each in containers(default) if pod == "clawdbot-grpc" and each["name"] == "grpc"]
    port = next(each["value"] for each in server["env"] if each["name"] == "METRICS_PORT")
    assert {"name": "metrics", "containerPort": int(port)} in server["ports"]
    policies = {each["metadata"]["name"]: each["spec"] for each in default if each["kind"] == "NetworkPolicy"}
    assert {each["port"] for each in policies["clawdbot-servers"]["ingress"][1]["ports"]} == set(asked)


def test_the_ingress_lets_every_public_route_through(default):
    let_in = {
        path["path"]
        for each in default
        if each["kind"] == "Ingress"
        for path in each["spec"]["rules"][0]["http"]["paths"]
    }
    found = [
        re.match(r"\^?([a-z][\w.]*)", str(each.pattern)) for each in get_resolver("clawdbot_site.urls").url_patterns
    ]
    public = {f"/{each[1]}" for each in found if each}
    assert {"/api", "/console", "/widget.js"} <= public
    assert public | {"/v1", "/ws", "/static", "/livez"} <= let_in
    assert not let_in & {"/metrics", "/readyz", "/startupz"}


def test_every_reference_is_to_something_that_is_there(default):
    names = {(each["kind"], each["metadata"]["name"]) for each in default}
    accounts = {pod.get("serviceAccountName") for _, pod in pod_specs(default)} - {None}
    assert {("ServiceAccount", account) for account in accounts} <= names
    for name, pod in pod_specs(default):
        volumes = {each["name"] for each in pod["volumes"]} | {"data"}
        for each in pod["volumes"]:
            if "configMap" in each:
                assert ("ConfigMap", each["configMap"]["name"]) in names
            if "persistentVolumeClaim" in each:
                assert ("PersistentVolumeClaim", each["persistentVolumeClaim"]["claimName"]) in names
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
    services = {each["metadata"]["name"]: each["spec"] for each in default if each["kind"] == "Service"}
    for each in default:
        if each["kind"] == "Ingress":
            for path in each["spec"]["rules"][0]["http"]["paths"]:
                backend = path["backend"]["service"]
                assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["ports"]}


def test_no_ingress_is_narrower_than_the_server(default):
    """Forms of the consoles; and nginx counts all messages of a call of gRPC together."""
    prefix = "nginx.ingress.kubernetes.io/"
    said = [each["metadata"]["annotations"] for each in default if each["kind"] == "Ingress"]
    sizes = {each.get(f"{prefix}backend-protocol"): each[f"{prefix}proxy-body-size"] for each in said}
    assert sizes == {None: f"{PAGE_BYTES >> 20}m", "GRPC": "0"}


def test_every_selector_finds_its_pods(default):
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in default
        if each["kind"] in ("Deployment", "StatefulSet")
    ]
    wanted = [each["spec"]["selector"] for each in default if each["kind"] == "Service"]
    wanted += [each["spec"]["selector"]["matchLabels"] for each in default if each["kind"] == "PodDisruptionBudget"]
    for selector in wanted:
        assert sum(selector.items() <= each.items() for each in labels) == 1, selector


def test_nothing_private_can_be_reached_but_the_stores(default):
    policies = {each["metadata"]["name"]: each["spec"] for each in default if each["kind"] == "NetworkPolicy"}
    nothing = policies["clawdbot-nothing"]
    assert nothing["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in nothing and "egress" not in nothing
    blocks = [
        peer["ipBlock"]
        for rule in policies["clawdbot-outgoing"]["egress"]
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    for address in ("169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "fd00:ec2::254", "::1"):
        assert not any(allows(block, address) for block in blocks), address
    assert any(allows(block, "93.184.216.34") for block in blocks)
    assert any(allows(block, "2606:4700::1111") for block in blocks)


def allows(block: dict, address: str) -> bool:
    asked = ipaddress.ip_address(address)
    inside = [ipaddress.ip_network(each) for each in (block["cidr"], *block["except"])]
    return asked in inside[0] and not any(asked in each for each in inside[1:])


def test_it_scales_on_cpu_and_on_open_streams():
    rendered = objects(manifests.render(*EVERYTHING_ON))
    scalers = {each["metadata"]["name"]: each["spec"] for each in rendered if each["kind"] == "HorizontalPodAutoscaler"}
    kinds = {each["type"]: each for each in scalers["clawdbot-web"]["metrics"]}
    assert kinds["Resource"]["resource"]["name"] == "cpu"
    assert kinds["Pods"]["pods"]["metric"]["name"] == "clawdbot_streams_open"
    assert scalers["clawdbot-web"]["minReplicas"] == 5
    scaled = {each["scaleTargetRef"]["name"] for each in scalers.values()}
    for each in rendered:
        if each["kind"] == "Deployment" and each["metadata"]["name"] in scaled:
            assert "replicas" not in each["spec"]  # or every `helm upgrade` would undo what the scaler did
    [adapter] = objects((KUBERNETES / "prometheus-adapter.yaml").read_text())
    [rule] = adapter["rules"]["custom"]
    assert rule["name"]["as"] == kinds["Pods"]["pods"]["metric"]["name"]


def test_a_hundred_gigabytes_are_claimed_and_survive_the_chart(default):
    claim = next(each for each in default if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "100Gi"
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_valkey_keeps_both_kinds_of_files(default):
    written = next(each for each in default if each["metadata"]["name"] == "clawdbot-valkey" and "data" in each)
    lines = written["data"]["valkey.conf"].splitlines()
    assert "appendonly yes" in lines
    assert any(line.startswith("save 900 1") for line in lines)
