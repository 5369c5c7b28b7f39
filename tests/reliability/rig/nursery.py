"""Relays born fast: a program that has everything imported forks one relay process for each line of standard input.

The line is JSON: the arguments of ``intentcast-relay``. What the child announces (``--announce -``) and, when it is
over, its exit status (negative for a signal) are the lines of standard output. The child is a session of its own, so
that whatever it starts can be found by its group.
"""

import json
import os
import sys

import intentcast_relay.server  # noqa: F401 (what a relay needs, before it is forked)
from intentcast_relay import cli


def main() -> None:
    """Fork until standard input ends."""
    for line in sys.stdin.buffer:
        arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            cli.main(arguments)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
