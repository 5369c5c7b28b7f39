"""The protocol's numbers. PROTOCOL §13 lists the same ones; a test compares them."""

# Encoding
MAX_DEPTH = 16
MAX_NODES = 2_048
MAX_INT = 2**53 - 1

# Records
MAX_RECORD = 65_536  # bytes of payload and signature as sent
MAX_LIFE = 30 * 86_400  # s, created to expires, of a public or sealed record
MAX_SKEW = 900  # s a record may be dated ahead of the reader's clock
NONCE = 8  # bytes of a stamp

# Sealing
BUCKETS = (1_024, 4_096, 16_384, 61_440)  # bytes a sealed record is padded to
REKEY_AFTER = 30 * 86_400  # s after which a side sends a fresh reply key

# Demands and offers
MAX_CONSTRAINTS = 64
MAX_CELLS = 16
MAX_CELL = 4  # characters of a geohash cell
MAX_CATEGORY_LEVELS = 8
MAX_RELAYS = 8
MAX_ROUNDS = 30
MAX_COMPONENTS = 32
MAX_CHOICES = 8  # extras of an offer, and values of one condition that its vendor would talk about
MAX_TEXT = 2_000  # characters of a free-text field
MAX_STAMP = 28  # leading zero bits a demand may ask for
STAMP_AGE = 3_600  # s a stamped record stays fresh

# Sessions
MAX_AHEAD = 8  # messages buffered while an earlier one is missing
ACCEPT_LIFE = 86_400  # s, the longest deadline to confirm
ACCEPT_GRACE = 120  # s after that deadline before another accept
MAX_FACTS = 16  # in one answer
MAX_AMENDMENTS = 8  # of one agreement

# Frames
MAX_FRAME = 262_144  # bytes of one WebSocket message
AUTH_LIFE = 60  # s a signed challenge stays good
MAX_FILTER_VALUES = 64  # values in one field of a filter
MAX_SUBSCRIPTIONS = 32  # live subscriptions on one connection
MAX_KEYS = 4_096  # authenticated keys on one connection
MAX_TAKE = 256  # ids in one mailbox take

# Agreements
MAX_BUNDLE = 524_288  # bytes

# Attestations and invitations
MAX_ATTESTATION = 1_024  # bytes of payload and signature as sent
MAX_ATTESTATIONS = 8  # in one offer or agreement
ATTESTATION_LIFE = 7 * 86_400  # s, seen to expires
MAX_INVITATION = 1_024  # bytes of a chain as sent
MAX_USES = 1_000  # admissions one invitation may allow
