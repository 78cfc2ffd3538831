"""What parties do together: one file a protocol, one coroutine a role."""
