"""Backups: one sealed file of all an agent needs to go on elsewhere, proven before it is trusted."""
