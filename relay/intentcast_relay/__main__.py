"""Run the relay's command with ``python -m intentcast_relay``."""

from intentcast_relay.cli import main

main()
