"""Clean rows into what a network is fed: point-in-time windows, samples, and the online snapshot for the gateway."""
