"""What the reliability tests stand on: a disk that can be cut, a nursery of relays, and clients that remember."""
