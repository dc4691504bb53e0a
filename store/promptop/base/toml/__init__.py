"""TOML tables as records of ours, with the line of each mistake."""
