"""Board drivers: one file a board type."""
