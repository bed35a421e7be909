"""The rules by which an intent becomes events or is refused, by what it is about."""
