"""What a relay says about itself to anyone who asks over HTTP; the shape of Nostr's NIP-11. PROTOCOL §11.2"""

from collections.abc import Mapping
from typing import Any

from intentcast_protocol.identity import Key, did
from intentcast_protocol.limits import MAX_FRAME, MAX_KEYS, MAX_LIFE, MAX_RECORD, MAX_STAMP
from intentcast_protocol.record import VERSION as PROTOCOL

from intentcast_relay import VERSION
from intentcast_relay.config import Config


def document(config: Config, key: Key, epoch: bytes, now: int, lives: Mapping[str, int]) -> dict[str, Any]:
    """Return the info document of the relay with this key as a JSON value; times are seconds, sizes bytes.

    `lives` are the seconds that the operator lets public records stay at most, by type.
    """
    limits = config.limits
    return {
        "name": config.name,
        "description": config.description,
        "contact": config.contact,
        "software": "intentcast-relay",
        "version": VERSION,
        "protocol": PROTOCOL,
        "url": config.url,
        "key": did(key),
        "epoch": epoch.hex(),
        "now": now,
        "admits": ["domain", "invite", "stamp"],
        "limits": {
            "frame": MAX_FRAME,
            "record": MAX_RECORD,
            "record_life": MAX_LIFE,
            "demand_life": min(MAX_LIFE, lives.get("demand", MAX_LIFE)),
            "profile_life": min(MAX_LIFE, lives.get("profile", MAX_LIFE)),
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
            "message_deadline": limits.message_deadline,
            "filter_values": limits.filter_values,
            "address_connections": limits.address_connections,
            "address_subscriptions": limits.address_subscriptions,
            "address_unfiltered": limits.address_unfiltered,
            "address_demands": limits.address_demands,
            "address_publishes": limits.address_publishes,
            "address_requests": limits.address_requests,
            "address_bytes": limits.address_bytes,
            "key_publishes": limits.key_publishes,
            "burst": limits.burst,
        },
    }
