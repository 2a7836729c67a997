"""The edges: authenticate, decode, hand to the engine, encode. All that comes from outside comes in here."""
