"""The whole thing on one machine: two relays, five dealers' bots, a phone company, a person, one deal."""
