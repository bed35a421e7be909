"""Real servers that come in wheels and run as children of the program, on loopback only.

For development, tests and small installations. `docs/decisions/0004-embedded-parts.md` says why
these, and what they are not.
"""
