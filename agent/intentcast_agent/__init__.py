"""Works for one person or one vendor: keeps the keys, casts, listens, compares, haggles and proves."""
