"""The errors a user can meet: each says its subject, what was got and expected, what to do."""

from __future__ import annotations


class AuditorError(Exception):
    """An error with a message meant for the user, and the exit code it ends the program with."""

    exit_code = 4


class UsageError(AuditorError):
    """The command line, the configuration or a rule is wrong."""

    exit_code = 2


class NothingToScanError(AuditorError):
    """The dataset holds no sample of a kind that can be scanned."""

    exit_code = 3


class InternalError(AuditorError):
    """A contract between two of the tool's own parts was broken."""

    exit_code = 4
