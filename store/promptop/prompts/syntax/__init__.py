"""How a prompt is written: role lines and directives, front matter, variables and templates, the YAML in it."""
