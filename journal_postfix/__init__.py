"""The shell around the stages: command line, embedded broker and database, supervision, logging."""

__version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":  # asked for now and then, and slow to find out
        from importlib.metadata import version  # noqa: PLC0415

        return version("journal-postfix")
    raise AttributeError(name)
