"""The command line: what ``journal-postfix --help`` shows, and which command is where."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from journal_postfix import __version__
from journal_postfix.commands import dead_letters, look, operate, pipeline, privacy, produce, replay, statistics, top
from journal_postfix.manual import page
from journal_postfix.settings_flags import PANEL, with_flags, with_settings

PIPELINE: Final = "Run the pipeline"
LOOK: Final = "Look at the mail"
OPERATE: Final = "Operate"

_EPILOG: Final = """\
[bold]First steps[/]

[cyan]journal-postfix demo[/]                              see it work on a sample log
[cyan]journal-postfix up --logfile /var/log/mail.log[/]    follow your own
[cyan]journal-postfix deliveries --status bounced[/]       what became of the mail

Settings: flags (COMMAND --help), else JOURNAL_POSTFIX_… in the environment, else a YAML file (--config).

Exit codes: 0 done, also where deliveries or rejects finds nothing; 1 failed, or trace finds nothing; 2 wrong flags, \
settings or input; 130 Ctrl-C."""


class _InOrder(TyperGroup):
    """Lists the commands in the order of the flow."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        names.insert(names.index("stream"), names.pop(names.index("produce")))
        return names


application = typer.Typer(
    cls=_InOrder,
    name="journal-postfix",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if asked:
        typer.echo(f"journal-postfix {__version__}")
        raise typer.Exit


def _manual(context: typer.Context, asked: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if asked:
        typer.echo(page(context.command, __version__, PANEL), nl=False)
        raise typer.Exit


@application.callback()
@with_flags
def _root(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    manual: Annotated[
        bool, typer.Option("--manual", help="Print the manual page, for man -l -.", callback=_manual, is_eager=True)
    ] = False,
) -> None:
    """Follow Postfix's log and keep, in PostgreSQL, what became of every mail."""


def _add(panel: str, *functions: Callable[..., None]) -> None:
    for function in functions:
        application.command(rich_help_panel=panel)(with_settings(function))


_add(PIPELINE, pipeline.up, pipeline.demo, pipeline.stream, pipeline.sink)
application.add_typer(produce.application, name="produce", rich_help_panel=PIPELINE)
_add(LOOK, look.deliveries, look.rejects, look.trace)
_add(OPERATE, operate.check, operate.topics, operate.acls, operate.roles, operate.migrate, statistics.stats, top.top)
_add(OPERATE, privacy.purge, privacy.erase)
application.add_typer(replay.application, name="replay", rich_help_panel=OPERATE)
application.add_typer(dead_letters.application, name="dead-letters", rich_help_panel=OPERATE)
