"""What runs inside or beside a game: the replica and typed views of its levers."""
