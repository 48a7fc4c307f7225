"""HTTP/1.1: connections, the parsing of requests within limits, TLS."""
