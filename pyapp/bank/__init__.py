"""The sandbox bank: a service of its own, that PayRail knows by HTTP only (docs/sandbox.md)."""
