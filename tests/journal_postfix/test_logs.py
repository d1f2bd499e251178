import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer

from journal_postfix import logs
from journal_postfix.failures import complain, reported
from journal_postfix.supervision.output import read_line
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs._bound.clear()  # commands that other tests ran in this process say which stage it is
    logs._secrets.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    threading.excepthook = threading.__excepthook__
    logs._bound.clear()
    logs._secrets.clear()
    logs._state["json"] = False
    for name in ("aiokafka", "kafka", "faust", "mode", "asyncio", "aiokafka.conn", "aiokafka.protocol", "librdkafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def fail(error: Exception) -> None:
    raise error


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
        {"dsn": "host=db user=u password=hunter2 dbname=x"},
        {"dsn": "host=db password='hunter2 and more' dbname=x"},
        {"config": {"bootstrap.servers": "k:9092", "sasl.password": "hunter2"}},
        {"config": [("sasl.jaas.config", "x"), {"deep": {"password": "hunter2"}}]},
        {"text": "{'sasl.username': 'u', 'sasl.password': 'hunter2'}"},
        {"error": ValueError("password=hunter2")},
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


def test_the_passwords_of_the_settings_are_logged_nowhere_whatever_holds_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("from-a-file\n")
    settings = Settings(
        kafka=KafkaSettings(sasl_password="tr0ub4dor"),  # type: ignore[arg-type]
        database=DatabaseSettings(password_file=tmp_path / "password"),
    )
    logs.hide(logs.secrets_of(settings))
    logs.configure("json", "debug")
    logging.getLogger("aiokafka").debug("handshake %r", b"\0user\0tr0ub4dor")
    try:
        fail(RuntimeError("connected with from-a-file"))
    except RuntimeError:
        structlog.get_logger().exception("it failed")
    complain("cannot log in with tr0ub4dor")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 3
    assert "tr0ub4dor" not in said
    assert "from-a-file" not in said


def test_a_password_whose_file_is_gone_is_told_by_who_needs_it(tmp_path: Path) -> None:
    assert logs.secrets_of(Settings(kafka=KafkaSettings(sasl_password_file=tmp_path / "none"))) == []


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("level", ["debug", "error"])
@pytest.mark.parametrize(
    "address",
    [
        "ann.lee+tag@example.org",
        '"odd ines4"@shop.example',
        "Ann@[192.0.2.1]",
        "srs0=x=y@example.org",
        "ann@bücher.example",
    ],
)
def test_no_address_is_logged(capsys: pytest.CaptureFixture[str], log_format: str, level: str, address: str) -> None:
    logs.configure(log_format, level)  # type: ignore[arg-type]
    log = structlog.get_logger()
    event = f"refused <{address}>"
    log.error(event, row={"recipient": address}, why=f"to=<{address}>, relay=mx", rows=[(address, 1)])
    logging.getLogger("faust").error("Failing row contains (mx1, %s)", address)
    try:
        fail(KeyError(address))
    except KeyError:
        log.exception("no such row")
    said = capsys.readouterr().err
    local = address.rpartition("@")[0]
    assert "no such row" in said
    assert local not in said
    assert local.strip('"') not in said
    assert address.rpartition("@")[2].strip("[]") in said.encode().decode(
        "unicode_escape" if log_format == "json" else "utf-8"
    )


def test_a_traceback_is_one_json_line_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    secret_of_a_function = "hunter2"
    try:
        fail(RuntimeError(f"a bug, after {len(secret_of_a_function)} characters"))
    except RuntimeError:
        structlog.get_logger().exception("it failed", partition=3)
    [line] = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert "RuntimeError: a bug, after 7 characters" in record["exception"]
    assert record["partition"] == 3
    assert "hunter2" not in line


def test_nor_does_the_console_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", "info")
    parameters = {"user": "u", "key": "hunter2"}
    try:
        fail(RuntimeError(f"a bug with {len(parameters)} of them"))
    except RuntimeError:
        structlog.get_logger().exception("it failed")
    said = capsys.readouterr().err
    assert "a bug with 2 of them" in said
    assert "hunter2" not in said


def test_what_a_terminal_would_act_on_is_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", "info")
    logging.getLogger("x").warning("from a log: \x1b[2J\x9b31m")
    said = capsys.readouterr().err
    assert "\x1b[2J" not in said
    assert "\x9b" not in said


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_every_line_names_its_stage_and_worker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    monkeypatch.setenv(logs.WORKER_VARIABLE, "2")
    logs.configure(log_format, "info")  # type: ignore[arg-type]
    logs.bind(stage="sink")
    structlog.get_logger().info("ours")
    logging.getLogger("confluent_kafka").warning("theirs")
    for line in capsys.readouterr().err.splitlines():
        if log_format == "json":
            assert {"stage": "sink", "worker": 2}.items() <= json.loads(line).items()
        else:
            assert "stage" in line
            assert "worker" in line


def test_a_thread_that_dies_and_a_warning_are_lines_as_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")

    def die() -> None:
        raise RuntimeError("of a bug")

    thread = threading.Thread(target=die, name="sink-write")
    thread.start()
    thread.join()
    record = json.loads(last_line(capsys))
    assert (record["event"], record["thread"]) == ("a thread died", "sink-write")
    assert "RuntimeError: of a bug" in record["exception"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert json.loads(last_line(capsys))["logger"] == "py.warnings"


def test_a_stage_that_logs_as_json_says_so_why_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    def end(error: Exception) -> None:
        with pytest.raises(typer.Exit), reported(tracebacks=True):
            raise error

    logs.configure("json", "info")
    logs.bind(stage="stream")
    end(ConfigurationError("no Kafka"))
    end(RuntimeError("a bug"))
    told, bug = map(json.loads, capsys.readouterr().err.splitlines())
    assert (told["event"], told["last_words"], told["level"]) == ("no Kafka", True, "error")
    assert "RuntimeError: a bug" in bug["exception"]
    assert read_line(json.dumps(told)).last_words


def test_requests_are_not_logged_at_any_level() -> None:
    logs.configure("json", "debug")
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)


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
    logging.getLogger("faust").warning("%s", "\x1b[31m")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert not set(said) & {"\x1b", "\x07", "\x9b"}
    assert "␛[2J" in said
