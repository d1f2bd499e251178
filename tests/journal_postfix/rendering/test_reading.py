import io

from rich.console import Console

from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.supervision.reports import Read, Reading, from_line, to_line


def test_what_is_read_and_not_shown_leaves_the_terminal_alone() -> None:
    out = io.StringIO()
    with ReadingBar(Console(file=out), shown=False) as bar:
        bar.show_all({"produce-logfile": Reading(7, 70, 100)})
        bar.show_behind("stream", 1, 2, "1 record left")
    assert out.getvalue() == ""


def test_bars_say_how_far_each_part_is() -> None:
    out = io.StringIO()
    with ReadingBar(Console(file=out, force_terminal=True, width=80, color_system=None), shown=True) as bar:
        bar.show_all({"produce-logfile": Reading(1234, 50, 100)})
        bar.show_behind("stream", 25, 100, "75 records left")
        bar._progress.refresh()
    for words in ("logfile", "50 %", "1,234 lines", "stream", "25 %", "75 records left"):
        assert words in out.getvalue()


def test_reports_survive_the_pipe_and_other_lines_are_none() -> None:
    for report in (Reading(7, 70, None), Read(lines=7, sent=5, ignored=1, dead=1, skipped=3, seconds=0.5)):
        assert from_line(to_line(report)) == report
    for line in ("", "hello", "{}", '{"type": "reading"}', "\udcff", "7"):
        assert from_line(line) is None
