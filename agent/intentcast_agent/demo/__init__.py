"""The whole thing on one machine: two relays, seven dealers' bots, a phone company, a person, one deal."""
