"""What self-hosted servers say of themselves."""
