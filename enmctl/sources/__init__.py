"""Sources of desired state: one file a source."""
