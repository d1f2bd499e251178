"""What the commands that look at mail are asked for: their flags, and what is wrong with what they are given."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from schemas.errors import ConfigurationError
from schemas.moments import parse_time
from web.searches.conditions import statuses

MOST_ROWS: Final = 1_000_000_000
"""The largest limit: far more than anybody reads, and a number that PostgreSQL takes."""


def as_logged(text: str | None) -> str | None:
    r"""Return an argument as the log has it: a byte that is not UTF-8 is spelled ``\xff``. Refuses an empty one."""
    if text is None:
        return None
    if not text.strip():  # most likely a shell's variable that is not set
        raise typer.BadParameter("it is empty; the null sender is '<>'")
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def one_of(given: Iterable[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the statuses that are *given*, all of them among *known*. Raises ConfigurationError."""
    asked = tuple(statuses(given or ()))
    for status in asked:
        if status not in known:
            raise ConfigurationError(f"--status {status}: there is no such status; there are {', '.join(known)}")
    return asked


def span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return from when and until before when is asked for. Raises ConfigurationError."""
    now = datetime.now(UTC)
    first, last = (None if text is None else parse_time(text, now=now) for text in (since, until))
    if first is not None and last is not None and last <= first:
        raise ConfigurationError(f"--until {until} is not after --since {since}")
    return first, last


_WHAT: Final = "What to look for"
Sender = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", rich_help_panel=_WHAT, callback=as_logged, help="Envelope sender; <> for none."),
]
Recipient = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_WHAT,
        callback=as_logged,
        help="Recipient; a whole address also before aliases.",
    ),
]
QueueId = Annotated[str | None, typer.Option(metavar="ID", rich_help_panel=_WHAT, callback=as_logged, help="Queue id.")]
MessageId = Annotated[
    str | None, typer.Option(metavar="ID", rich_help_panel=_WHAT, callback=as_logged, help="Message-ID header.")
]
Client = Annotated[
    str | None,
    typer.Option(
        metavar="HOST",
        rich_help_panel=_WHAT,
        callback=as_logged,
        help="Client's name, pattern of it (*.example.org), or whole IP address.",
    ),
]
Status = Annotated[
    list[str] | None,
    typer.Option(metavar="STATUS", rich_help_panel=_WHAT, help="sent, deferred, bounced, …; several: any."),
]
Action = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="ACTION", rich_help_panel=_WHAT, help="Action: reject, reject_warning, hold, …"),
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", rich_help_panel=_WHAT, help="Not before: 2h, yesterday, a date.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", rich_help_panel=_WHAT, help="Before.")]
Limit = Annotated[int, typer.Option(min=0, max=MOST_ROWS, help="Most rows, the newest; 0: all.")]
