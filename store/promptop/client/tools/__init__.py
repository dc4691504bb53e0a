"""What answers the tools that a model calls: mocks that the user wrote, and MCP servers that the user named."""
