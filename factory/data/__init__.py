"""Source rows into the lake, judged by their contract, cleaned or quarantined; every row is accounted for."""
