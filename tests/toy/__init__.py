"""A small line for tests: which part off a press will be faulty, at three plants."""
