"""Runs the command line, as ``intentcast`` or ``python -m intentcast_agent``."""

from intentcast_agent.interrupt import stopped


def main() -> None:
    """Import the command line and run it; Ctrl-C is one sentence from the first moment on."""
    try:
        from intentcast_agent.cli import main as run  # noqa: PLC0415 (the import is what may be interrupted)

        run()
    except KeyboardInterrupt:
        stopped()


if __name__ == "__main__":
    main()
