"""Measurements that are run by hand; each says what it does with --help."""
