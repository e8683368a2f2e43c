"""What is Chinese and heavy: telephone numbers, registration codes, industries, divisions, company names."""
