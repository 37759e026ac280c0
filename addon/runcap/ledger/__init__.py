"""The state that all proxy processes share: keys, caps, counters, open reservations, the audit stream."""
