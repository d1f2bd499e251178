"""The Kubernetes manifests are valid, run without rights, and start what exists with settings that are understood."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from journal_postfix import __version__
from journal_postfix.application import application
from schemas.settings import load

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
MANIFESTS = [(path, document) for path in FILES for document in yaml.safe_load_all(path.read_text())]
IMAGE = f"journal-postfix:{__version__}"


def _pods() -> Iterator[Any]:
    for _, whole in MANIFESTS:
        document = whole
        if whole["kind"] == "CronJob":
            document = {**whole, "spec": whole["spec"]["jobTemplate"]["spec"]}
        if document["kind"] in {"Job", "CronJob", "StatefulSet", "DaemonSet"}:
            containers = (
                document["spec"]["template"]["spec"].get("initContainers", [])
                + (document["spec"]["template"]["spec"]["containers"])
            )
            for container in containers:
                yield pytest.param(document, container, id=f"{document['kind']}-{container['name']}")


PODS = list(_pods())
each_container = pytest.mark.parametrize(("workload", "container"), PODS)
STAGES = {"producer", "stream", "sink"}


def test_every_container_is_looked_at() -> None:
    assert {param.values[1]["name"] for param in PODS} == {*STAGES, "topics", "migrate", "purge"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kubernetes_would_take_it(path: Path, tools: Path, tool_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [tools / "kubernetes-validate", "--strict", path],
        env=tool_environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_kubernetes_would_not_take_is_found(tools: Path, tool_environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((FOLDER / "stream.yaml").read_text().replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    done = subprocess.run(
        [tools / "kubernetes-validate", "--strict", wrong],
        env=tool_environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "mail-hosts"], ids=lambda folder: folder.name)
def test_every_file_is_applied_but_the_example_of_secrets(folder: Path) -> None:
    listed = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}


def test_the_page_makes_namespaces_before_it_puts_secrets_there_and_applies_all() -> None:
    page = (FOLDER.parents[1] / "docs/deployment.md").read_text(encoding="utf-8")
    applied = re.findall(r"^kubectl apply --(?:filename|kustomize) (\S+)$", page, re.MULTILINE)
    assert {"deploy/kubernetes", "deploy/kubernetes/mail-hosts"} <= set(applied)
    there: set[str] = set()
    for what in applied:
        folder = FOLDER / "mail-hosts" if "mail-hosts" in what else FOLDER
        if "secrets" in what:
            secrets = yaml.safe_load_all((folder / "secrets.example.yaml").read_text())
            assert {secret["metadata"]["namespace"] for secret in secrets} <= there, what
        else:
            files = [folder / "namespace.yaml"] if what.endswith("namespace.yaml") else [*folder.glob("*.yaml")]
            for path, document in MANIFESTS:
                if path in files and document["kind"] == "Namespace":
                    there.add(document["metadata"]["name"])


@each_container
def test_it_runs_without_rights_and_on_a_read_only_disk(workload: Any, container: Any) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        assert mount["name"] in volumes
        assert mount["mountPath"] == "/tmp" or mount["readOnly"] is True


@each_container
def test_its_image_is_this_version(workload: Any, container: Any) -> None:
    assert container["image"] == IMAGE
    folder = FOLDER / "mail-hosts" if workload["kind"] == "DaemonSet" else FOLDER
    [image] = yaml.safe_load((folder / "kustomization.yaml").read_text())["images"]
    assert (image["name"], image["newTag"]) == (*IMAGE.split(":"),)


@each_container
def test_its_command_exists_and_understands_its_settings(workload: Any, container: Any, tmp_path: Path) -> None:
    [config] = [argument for argument in container["args"] if argument.startswith("--config=/settings/")]
    words = [word for word in container["args"] if word != config and not word.startswith("/")]
    result = CliRunner().invoke(application, [*words, "--help"])
    assert (result.exit_code, "Usage: " in result.output) == (0, True), result.output

    namespace = workload["metadata"]["namespace"]
    [settings] = [
        document["data"] for _, document in MANIFESTS
        if document["kind"] == "ConfigMap" and document["metadata"]["namespace"] == namespace
    ]  # fmt: skip
    file = tmp_path / "settings.yaml"
    file.write_text(settings[config.rpartition("/")[2]])
    loaded = load(file)
    secrets = {
        document["metadata"]["name"]: document["stringData"]
        for _, document in MANIFESTS
        if document["kind"] == "Secret" and document["metadata"]["namespace"] == namespace
    }
    work = "migrate" if container["name"] == "purge" else container["name"]  # both are the owner's
    given = secrets[work]
    wanted = {
        path.name for path in (loaded.kafka.sasl_password_file, loaded.database.password_file) if path is not None
    }
    assert wanted == set(given)
    [mounted] = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/secrets"]
    assert mounted == f"secret-{work}"


@each_container
def test_stages_are_probed_by_what_they_touch(workload: Any, container: Any) -> None:
    if container["name"] not in STAGES:
        assert workload["kind"] in {"Job", "CronJob"}
        return
    dockerfile = (FOLDER.parents[1] / "Dockerfile").read_text()
    [file] = re.findall(r"JOURNAL_POSTFIX_HEARTBEAT_FILE=(\S+)", dockerfile)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert file in " ".join(container[probe]["exec"]["command"])
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 30


def test_the_probe_tells_an_old_file_from_a_new_one(tmp_path: Path) -> None:
    for param in PODS:
        container = param.values[1]
        if container["name"] in STAGES:
            file = tmp_path / "alive"
            command = [word.replace("/tmp/alive", str(file)) for word in container["livenessProbe"]["exec"]["command"]]
            assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0
            file.touch()
            assert subprocess.run(command, check=False).returncode == 0
            subprocess.run(["touch", "-d", "5 minutes ago", file], check=True)
            assert subprocess.run(command, check=False).returncode != 0
            file.unlink()


@pytest.mark.parametrize("name", ["stream", "sink"])
def test_not_all_workers_are_taken_at_once(name: str) -> None:
    documents = list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))
    [workers] = [document for document in documents if document["kind"] == "StatefulSet"]
    [budget] = [document for document in documents if document["kind"] == "PodDisruptionBudget"]
    assert workers["spec"]["replicas"] >= 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == workers["spec"]["selector"]
    assert (
        budget["spec"]["selector"]["matchLabels"].items() <= workers["spec"]["template"]["metadata"]["labels"].items()
    )


@each_container
def test_metrics_are_served_where_prometheus_is_told_to_ask(workload: Any, container: Any, tmp_path: Path) -> None:
    if container["name"] not in STAGES:
        assert "ports" not in container
        return
    [port] = container["ports"]
    annotations = workload["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
        "prometheus.io/path": "/metrics",
    }
    [config] = [argument.rpartition("/")[2] for argument in container["args"] if argument.startswith("--config=")]
    [text] = [document["data"][config] for _, document in MANIFESTS if config in document.get("data", {})]
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert load(file).metrics.port == port["containerPort"]


@pytest.mark.parametrize("namespace", sorted({m["metadata"]["name"] for _, m in MANIFESTS if m["kind"] == "Namespace"}))
def test_only_prometheus_comes_in_and_only_for_metrics(namespace: str) -> None:
    [policy] = [
        document["spec"] for _, document in MANIFESTS
        if document["kind"] == "NetworkPolicy" and document["metadata"]["namespace"] == namespace
    ]  # fmt: skip
    assert policy["podSelector"] == {}
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 9631}]
    assert all("namespaceSelector" in peer for peer in rule["from"])
