"""``journal-postfix`` and ``python -m journal_postfix``."""

from journal_postfix.application import application


def main() -> None:
    """Run the command line."""
    application(prog_name="journal-postfix")


if __name__ == "__main__":
    main()
