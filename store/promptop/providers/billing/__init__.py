"""What providers bill for, read from what is sent to them."""
