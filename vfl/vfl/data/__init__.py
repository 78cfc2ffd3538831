"""A party's own data: reading a table, checking it, its ids and its local preprocessing."""
