"""What the verbs share: their common options, how they talk, how they read a configuration and a store."""
