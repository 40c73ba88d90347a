"""Checks of the ledger: what the files themselves say, without looking at what they show."""

from auditor.provenance.balance import BALANCE
from auditor.provenance.duplicates import DUPLICATES
from auditor.provenance.formats import FORMATS_CHECK
from auditor.provenance.near_duplicates import NEAR_DUPLICATES

CHECKS = (DUPLICATES, NEAR_DUPLICATES, FORMATS_CHECK, BALANCE)
"""Every check a scan runs, in the order of the report."""

__all__ = ["CHECKS"]
