"""Runs the command line as ``python -m intentcast_agent``."""

from intentcast_agent.cli import main

main()
