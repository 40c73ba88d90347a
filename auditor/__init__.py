"""auditor: can this dataset be trusted?"""

__version__ = "0.1.0"
