"""What is true: events, decisions, resolution and replay, and the store that keeps them."""
