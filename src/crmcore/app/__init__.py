"""What happens: use cases that load, decide by a rule and write."""
