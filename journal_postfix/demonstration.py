"""``demo``: a packaged log through the whole pipeline, then what one can see of it."""

import shlex
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from journal_postfix import once_through
from journal_postfix.everything import console_of_messages, prepared, teller
from journal_postfix.failures import OK
from journal_postfix.inputs import Inputs
from journal_postfix.interrupts import interruptible
from journal_postfix.local.data_dir import DataDir
from journal_postfix.local.locks import LockHeldError
from journal_postfix.rendering.journey import hop_lines
from journal_postfix.rendering.mail_tables import delivery_lines, reject_lines
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from web.searches.database import searching
from web.searches.deliveries import DeliverySearch
from web.searches.deliveries import search as search_deliveries
from web.searches.rejects import RejectSearch
from web.searches.rejects import search as search_rejects
from web.searches.trace import trace

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_SAMPLE: Final = "data/sample.log"
_SHOWN: Final = 12
_INTERESTING: Final = ("bounced", "deferred", "sent")
"""The status of the mail whose way is shown: the first of these that there is."""


def demo_settings(settings: Settings) -> Settings:
    """Return *settings* with embedded parts in a folder of their own, whatever is configured."""
    return settings.model_copy(
        update={"kafka": KafkaSettings(), "database": DatabaseSettings(), "data_dir": settings.data_dir / "demo"}
    )


def run(settings: Settings) -> int:
    """Run the demonstration; return the exit code. Raises JournalPostfixError."""
    own = demo_settings(settings)
    messages = console_of_messages()
    tell = teller(messages)
    sample = files("journal_postfix").joinpath(_SAMPLE)
    if not sample.is_file():
        raise ConfigurationError("the sample log is missing from this installation: install journal-postfix again")
    _begin_anew(own)
    with interruptible() as interruption, as_file(sample) as log:
        inputs = Inputs(files=(log,))
        with prepared(own, tell) as ready:
            outcome = once_through.feed(ready, inputs, messages, interruption)
            if outcome is None:
                return interruption.exit_code()
            once_through.show(outcome, inputs)
            with searching(ready.settings.database) as connection:
                _show(connection, own, Console(highlight=False))
    return OK


def _begin_anew(own: Settings) -> None:
    """Remove what an earlier demonstration, perhaps of another version, left behind."""
    data_dir = DataDir(own.data_dir)
    data_dir.make()
    with suppress(LockHeldError), data_dir.held("command"):  # if it runs there, starting the parts says so
        for part in (data_dir.broker, data_dir.database):
            shutil.rmtree(part, ignore_errors=True)


def _show(connection: "Connection", own: Settings, console: Console) -> None:
    now = datetime.now(UTC)
    _title(console, "The newest deliveries")
    deliveries = search_deliveries(connection, DeliverySearch(limit=_SHOWN))
    _print(console, delivery_lines(list(deliveries), console.width, now))
    _title(console, "The newest rejections")
    rejects = search_rejects(connection, RejectSearch(limit=_SHOWN // 2))
    _print(console, reject_lines(list(rejects), console.width, now))
    shown = _interesting(connection)
    if shown is not None:
        _title(console, "One mail's way")
        _print(console, hop_lines(trace(connection, shown).hops, console.width, now))
    _title(console, "Next")
    here = f"--data-dir {shlex.quote(str(own.data_dir))}"
    for command in (f"deliveries --status bounced {here}", f"rejects {here}", f"trace {shown} {here}", "up --help"):
        console.print(Text(f"  {_called()} {command}", "cyan"), soft_wrap=True)


def _called() -> str:
    """Return what to type for this program: its name, or where it is, if the shell would not find it (make demo)."""
    name, called = "journal-postfix", Path(sys.argv[0])
    found = shutil.which(name)
    if called.name != name or (found is not None and Path(found).resolve() == called.resolve()):
        return name
    return shlex.quote(str(called))


def _interesting(connection: "Connection") -> str | None:
    """Return the queue id of a mail whose way is worth a look."""
    for status in _INTERESTING:
        for record in search_deliveries(connection, DeliverySearch(status=(status,), limit=1)):
            return str(record["queue_id"])
    return None


def _title(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, "bold"))


def _print(console: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
