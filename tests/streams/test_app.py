"""What Faust is asked for, and that a worker ends whatever Faust does."""

import subprocess
import sys
from typing import Any

import faust
import pytest

from schemas.settings import KafkaSettings, Settings
from schemas.topics import topics_of
from streams import app


def test_faust_has_every_setting_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    class AskedError(Exception): ...

    def ask(_: str, **settings: Any) -> None:
        given.update(settings)
        raise AskedError

    monkeypatch.setattr(app, "_FaustApp", ask)
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(AskedError):
        app.StreamApp(settings, topics_of(settings.kafka, settings.stream), 1, "/nonexistent")
    assert given
    assert given.keys() <= faust.App.Settings.SETTINGS.keys()  # it passes over all others without a word


HANGS = """
import threading
from streams import worker
worker._STOP_SECONDS = 0.2
def hang(*_):
    try:
        print("running", flush=True)
        threading.Event().wait()
    finally:
        threading.Event().wait()
worker._run = hang
worker.run(None)
"""
"""As Faust does now and then where it is stopped amid its start."""


def test_a_worker_that_is_stopped_amid_its_start_and_hangs_ends_all_the_same() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.terminate()
        try:
            assert process.wait(30) == 1
            assert b"did not stop in 0.2 s; nothing is lost" in process.stdout.read()
        finally:
            process.kill()
