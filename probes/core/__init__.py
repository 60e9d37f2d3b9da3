"""Floor 0: what is true about checks. No I/O, no clock, no randomness."""
