"""What a relay says about itself to anyone who asks over HTTP; the shape of Nostr's NIP-11. PROTOCOL §11.2"""

from typing import Any

from intentcast_protocol.limits import MAX_FRAME, MAX_KEYS, MAX_LIFE, MAX_RECORD, MAX_STAMP
from intentcast_protocol.record import VERSION as PROTOCOL

from intentcast_relay import VERSION
from intentcast_relay.config import Config


def document(config: Config, epoch: bytes, now: int) -> dict[str, Any]:
    """Return the info document as a JSON value; times are seconds, sizes bytes."""
    limits = config.limits
    return {
        "name": config.name,
        "description": config.description,
        "contact": config.contact,
        "software": "intentcast-relay",
        "version": VERSION,
        "protocol": PROTOCOL,
        "url": config.url,
        "epoch": epoch.hex(),
        "now": now,
        "admits": ["stamp"],
        "limits": {
            "frame": MAX_FRAME,
            "record": MAX_RECORD,
            "record_life": MAX_LIFE,
            "stamp": MAX_STAMP,
            "keys": MAX_KEYS,
            "connections": limits.connections,
            "subscriptions": limits.subscriptions,
            "auth_deadline": limits.auth_deadline,
            "mailbox_items": limits.mailbox_items,
            "mailbox_bytes": limits.mailbox_bytes,
            "queue_frames": limits.queue_frames,
            "queue_bytes": limits.queue_bytes,
            "send_deadline": limits.send_deadline,
        },
    }
