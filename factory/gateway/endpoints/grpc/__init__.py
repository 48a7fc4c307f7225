"""The gateway's other door: `inference.GRPCInferenceService`. Nothing of it is imported unless it is switched on."""
