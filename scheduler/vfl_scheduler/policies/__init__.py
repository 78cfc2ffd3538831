"""When a round goes on without waiting for all; one policy a file."""
