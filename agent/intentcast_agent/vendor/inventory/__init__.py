"""Turns the stock file a vendor already has into stock rows."""
