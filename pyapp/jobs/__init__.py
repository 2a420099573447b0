"""The worker: finds due payouts, talks to the banks, records what they say."""
