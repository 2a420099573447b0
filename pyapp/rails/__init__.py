"""Bank rails: what every bank must be able to do, and the banks."""
