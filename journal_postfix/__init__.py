"""The shell around the stages: command line, embedded broker and database, supervision, logging."""

from importlib.metadata import version

__version__ = version("journal-postfix")
