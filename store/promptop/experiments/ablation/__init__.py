"""Which sentences of a prompt carry weight: the search, what it found, and the trim that follows."""
