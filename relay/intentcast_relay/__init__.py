"""A relay: it carries signed records between agents, keeps what it acknowledged and knows no more than it must."""

from typing import Final

VERSION: Final = "0.1.0"
