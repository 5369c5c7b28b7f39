"""Ctrl-C: one sentence and exit code 130, with nothing more imported."""

import json
import os
import signal
import sys
from typing import NoReturn

SENTENCE = "Stopped. Nothing is lost: what was signed is kept, and goes on when you come back."


def stopped() -> NoReturn:
    """Say that nothing is lost and leave at once, whatever was interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": "interrupted", "message": SENTENCE}}))
    else:
        print(f"\nintentcast: {SENTENCE}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # No clean-up that could be interrupted again; what is durable was durable before.
    os._exit(130)
