"""The ``auditor`` command."""

from auditor.cli.commands import app, main

__all__ = ["app", "main"]
