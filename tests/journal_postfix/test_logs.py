import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from journal_postfix import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    for name in ("aiokafka", "kafka", "faust", "mode", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_json_lines_hold_what_was_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    structlog.get_logger("sinks").warning("slow", rows=5)
    record = json.loads(last_line(capsys))
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "slow", "level": "warning", "logger": "sinks", "rows": 5}


def test_the_standard_librarys_lines_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("sinks.worker").error("stored %d", 7, extra={"password": "hunter2"})
    record = json.loads(last_line(capsys))
    assert (record["event"], record["level"], record["logger"]) == ("stored 7", "error", "sinks.worker")
    assert record["password"] == "***"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter2"},
        {"sasl_password": "hunter2"},
        {"api_token": "hunter2"},
        {"url": "postgresql://u:hunter2@db/x"},
    ],
)
def test_secrets_are_not_logged(capsys: pytest.CaptureFixture[str], log_format: str, fields: dict[str, str]) -> None:
    logs.configure(log_format, "debug")  # type: ignore[arg-type]
    structlog.get_logger().info("connecting", **fields)
    line = last_line(capsys)
    assert "connecting" in line
    assert "hunter2" not in line


def test_a_secrets_file_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    structlog.get_logger().info("reading", password_file="/etc/secret")
    assert json.loads(last_line(capsys))["password_file"] == "/etc/secret"


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "warning")
    structlog.get_logger().info("chatter")
    logging.getLogger("x").info("chatter")
    assert capsys.readouterr().err == ""


def test_libraries_are_quiet_unless_one_debugs(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("aiokafka.consumer").info("joined")
    assert capsys.readouterr().err == ""
    logs.configure("json", "debug")
    logging.getLogger("aiokafka.consumer").info("joined")
    assert json.loads(last_line(capsys))["event"] == "joined"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_shown_without_what_the_variables_held(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(log_format, "debug")  # type: ignore[arg-type]
    config = {"sasl.password": "hunter2", "recipient": "ann@example.org"}
    try:
        int(f"boom \x1b[31m {len(config)}")
    except ValueError:
        structlog.get_logger().exception("it ends")
    said = capsys.readouterr().err
    assert "ValueError: " in said
    assert "test_logs.py" in said
    assert "hunter2" not in said
    assert "ann@example.org" not in said
    assert "\x1b" not in said


def test_what_a_stranger_wrote_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", "info")
    structlog.get_logger().warning("refused \x1b[2J", why="a\x1b]0;title\x07b\nforged line", c1="\x9b31m")
    logging.getLogger("librdkafka").warning("%s", "\x1b[31m")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert not set(said) & {"\x1b", "\x07", "\x9b"}
    assert "␛[2J" in said
