"""`vfl plan`: what a job takes before anything starts, and where a choice is silly."""
