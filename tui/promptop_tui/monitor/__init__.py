"""The Monitor tab: what the request log says, now and over a window of time."""
