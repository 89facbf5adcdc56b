"""What a person reads after a conversion, an evaluation or a comparison: text, JSON, and one page."""

from converters.report.conversion import Artefact, Report, Verdict

__all__ = ["Artefact", "Report", "Verdict"]
