"""How bytes become events: server-sent events, JSON by lines or in a list, and decompression."""
