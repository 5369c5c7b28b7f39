"""The page and the HTTP API, on this machine alone."""
