"""What an agent does for a person: draft, cast, compare, haggle, agree."""
