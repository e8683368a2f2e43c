"""What is true: pure functions of values, a policy and now. Nothing here reads a clock, a file or a random number."""
