"""How the consoles write times: one form that sorts and fits a column, in every language. Times are UTC."""
