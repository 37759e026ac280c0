"""`runcap doctor`: looks at an agent's environment from the inside, and says what mends what it finds.

One file for each kind of check; `examine` puts them in the order in which one depends on another. Each finding has
its one line for a shell.
"""
