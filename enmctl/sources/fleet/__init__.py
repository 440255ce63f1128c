"""A file that says what should run, where there is no server: read, checked with the place of each fault, watched."""
