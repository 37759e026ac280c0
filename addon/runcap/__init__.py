"""runcap: a hard spending cap for one run of an AI agent."""

__version__ = "0.1.0"
