#!/usr/bin/env python3
"""A relay's policy: no demand for less than 10, and none that lives for more than a week. Name it in [policy]."""

import json
import sys

WEEK = 7 * 86_400  # s


def object_to(record):
    """Return why a record is not taken, None if it may be. What strangers wrote may have any shape."""
    if record["type"] == "demand" and record["expires"] - record["created"] > WEEK:
        return "this relay carries demands for a week at most"
    price = record["body"].get("priceSpecification")
    try:
        return "this relay carries demands of 10 and more" if float(price["maxPrice"]) < 10 else None
    except (KeyError, TypeError, ValueError):
        return None


for line in sys.stdin:
    record = json.loads(line)
    reason = object_to(record)
    verdict = {"action": "reject", "reason": reason} if reason else {"action": "accept"}
    print(json.dumps({"id": record["id"], **verdict}), flush=True)
