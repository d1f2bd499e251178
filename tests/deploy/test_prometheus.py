"""The alert rules are valid, each fires when it should and not when it should not; the dashboard is one for Grafana."""

import json
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"
TESTS = sorted(RULES.glob("*_test.yaml"))
PANELS = json.loads((DEPLOY / "grafana/journal-postfix.json").read_text())["panels"]


def run(*command: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=RULES, capture_output=True, text=True, timeout=120, check=False)


def rules() -> list[Any]:
    groups = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"]
    return list(chain.from_iterable(group["rules"] for group in groups))


def test_prometheus_would_take_the_rules(promtool: Path) -> None:
    done = run(promtool, "check", "rules", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(file: Path, promtool: Path) -> None:
    done = run(promtool, "test", "rules", file.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_and_not_to_fire() -> None:
    cases = [
        case for file in TESTS for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_expressions_of_the_dashboard_are_understood(promtool: Path, tmp_path: Path) -> None:
    asked = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
    assert len(asked) > 20
    named = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": named}]}))
    done = run(promtool, "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_expression_that_is_wrong_is_found(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text((RULES / "alerts.yaml").read_text().replace("sum by (job)", "sum by job", 1))
    assert run(promtool, "check", "rules", file).returncode != 0


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_what_grafana_needs(panel: Any) -> None:
    assert {"id", "type", "title", "gridPos"} <= panel.keys()
    assert panel["gridPos"].keys() == {"x", "y", "w", "h"}
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    if panel["type"] == "row":
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["expr"]
        assert target["legendFormat"]
