"""What ``enmctl doctor`` looks at: each check is a function that looks, changes nothing, and returns what it found."""
