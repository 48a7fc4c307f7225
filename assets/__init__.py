"""What this project makes beside its lines, and the component that its lines use."""

from factory.orchestration.production_line import ProductionLine

__all__ = ["ProductionLine"]
