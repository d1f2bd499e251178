"""A password in the settings is in nothing that a producer says, whatever goes wrong, a bug of its own included."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.produced import eventually
from faults.tally import Tally

from journal_postfix.supervision.environment import environment_of
from schemas.settings import KafkaSettings, Settings

pytestmark = pytest.mark.kafka

CANARY = "canary-5fd1c0-password"
LOG = b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: A1B2C3D4E5: client=a[1.2.3.4]\n"

BUG = """
import sys
from producers.positions import Positions
from schemas.kafka import client_config

def partitions(self):
    config = client_config(self._settings.kafka, "x")
    raise RuntimeError(f"a bug, with {len(config)} entries")

Positions.partitions = partitions
from journal_postfix.__main__ import main
sys.exit(main())
"""
COMMAND = [sys.executable, "-m", "journal_postfix"]


def sasl(kafka: KafkaSettings, **more: Any) -> dict[str, str]:
    """Return the environment of a producer that logs in with the canary."""
    values = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "producer",
              "sasl_password": CANARY, **more}  # fmt: skip
    return environment_of(Settings(kafka=KafkaSettings(**{**kafka.model_dump(), **values})), os.environ)


def said_by(command: list[str], environment: dict[str, str], folder: Path, until: str) -> str:
    """Return all that a producer says until it says *until* (and is told to stop then) or ends."""
    file, said = folder / "mail.log", folder / "said.log"
    file.write_bytes(LOG)
    with said.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "produce", "logfile", "--follow", file], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            env={**environment, "JOURNAL_POSTFIX_LOG_LEVEL": "debug", "COLUMNS": "300"},
        )  # fmt: skip
        eventually(lambda: process.poll() is not None or (until and until in said.read_text()), 60)
        process.terminate()
        process.wait(20)
    text = said.read_text()
    assert text, "it said nothing"
    assert until in text
    return text


@pytest.mark.fault("a password in the settings, and trouble", fast=6, long=6)
def test_the_password_is_in_nothing_that_is_said(kafka_settings: KafkaSettings, tally: Tally, tmp_path: Path) -> None:
    plain = sasl(kafka_settings)
    assert CANARY in plain["JOURNAL_POSTFIX_KAFKA"]
    nobody = sasl(kafka_settings, bootstrap_servers="127.0.0.1:1")
    broken = {**plain, "JOURNAL_POSTFIX_KAFKA": plain["JOURNAL_POSTFIX_KAFKA"][:-1]}
    wrong = {**plain, "JOURNAL_POSTFIX_KAFKA": plain["JOURNAL_POSTFIX_KAFKA"].replace(f'"{CANARY}"', f'["{CANARY}"]')}
    unknown = {**plain, "JOURNAL_POSTFIX_KAFKA__SASL_PASSWORT": CANARY}
    troubles = {
        "a broker without logins": (COMMAND, plain, "refuses the log-in of producer"),
        "no broker": (COMMAND, nobody, "Kafka does not answer yet"),
        "settings that are no JSON": (COMMAND, broken, "journal-postfix: "),
        "a password of the wrong type": (COMMAND, wrong, "journal-postfix: "),
        "a setting that is misspelt": (COMMAND, unknown, "journal-postfix: "),
        "a bug": ([sys.executable, "-c", BUG], plain, "a bug"),
    }
    for name, (command, environment, until) in troubles.items():
        text = said_by(command, environment, tmp_path, until)
        tally.injected += 1
        tally.compare_counts(name, [line for line in text.splitlines() if CANARY in line], [])
    tally.settle()
