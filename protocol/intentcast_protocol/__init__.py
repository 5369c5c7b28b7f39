"""The rules of intentcast: records, sealing, sessions and agreements, without sockets, clocks or files."""
