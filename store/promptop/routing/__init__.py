"""Which model a request goes to: by how hard its task is, or by rules on its prompt's name, its tags and its app."""
