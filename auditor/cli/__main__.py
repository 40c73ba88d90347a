"""``python -m auditor.cli``."""

from auditor.cli.commands import main

main()
