"""Certificates: the root that may sign for the vendors' names alone, its leaves, and who has to trust it."""
