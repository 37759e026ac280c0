"""What agents and their machines need: environment, trust stores, their budget, and what to do about a refusal."""
