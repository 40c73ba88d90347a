"""Checks of the ledger: what the files themselves say, without looking at what they show."""

from auditor.provenance.balance import BALANCE
from auditor.provenance.bursts import BURSTS
from auditor.provenance.contents import CONTENTS
from auditor.provenance.declared import DECLARED
from auditor.provenance.duplicates import DUPLICATES
from auditor.provenance.formats import FORMATS_CHECK
from auditor.provenance.links import LINKS
from auditor.provenance.metadata import METADATA
from auditor.provenance.names import NAMES
from auditor.provenance.near_duplicates import NEAR_DUPLICATES
from auditor.provenance.pointers import POINTERS
from auditor.provenance.references import REFERENCES
from auditor.provenance.scaled import SCALED
from auditor.provenance.sources import SOURCES

CHECKS = (DUPLICATES, NEAR_DUPLICATES, FORMATS_CHECK, BALANCE, METADATA, SCALED, SOURCES, BURSTS)
"""Every check a scan runs, in the order of the report."""

FILE_CHECKS = (CONTENTS, LINKS, NAMES, POINTERS, DECLARED, REFERENCES)
"""Every check of the files beside the samples."""

__all__ = ["CHECKS", "FILE_CHECKS"]
