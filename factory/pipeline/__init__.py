"""The stages of a line and what each does; plain Python over Protocols, without an orchestrator."""
