"""How frames travel: in one process, through Ray."""
