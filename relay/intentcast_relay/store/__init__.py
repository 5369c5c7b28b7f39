"""Where a relay keeps records: one contract, one module for each backend."""
