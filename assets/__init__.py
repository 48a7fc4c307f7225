"""WHEN things run: what turns a line's file into assets, jobs and checks. No arithmetic happens here."""

from factory.orchestration.production_line import ProductionLine

__all__ = ["ProductionLine"]
