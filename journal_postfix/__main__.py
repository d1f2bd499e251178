"""``journal-postfix`` and ``python -m journal_postfix``."""

import io
import sys


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 lacks characters
    try:
        from journal_postfix.application import application  # noqa: PLC0415 - takes long enough for a Ctrl-C

        application(prog_name="journal-postfix")
    except KeyboardInterrupt:
        sys.exit(130)  # failures.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    main()
