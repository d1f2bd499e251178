"""What Faust is asked for."""

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
