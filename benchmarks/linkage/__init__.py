"""Sets of records with known duplicates, and those who look for them."""
