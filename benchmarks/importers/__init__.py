"""Ways to take a file of customers into a SQLite file, side by side. Each is a module with a function ``take``."""
