"""Prices and exchange rates that an operator brings: importing, syncing, keeping, showing.

They live in ``rates/`` below the home folder and take the place of the tables that come with runcap.
"""
