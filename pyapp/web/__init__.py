"""The HTTP shell: decode, call a door, encode."""
