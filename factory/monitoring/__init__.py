"""What became of what was released: predictions, outcomes, the prediction log, drift, challenger trials."""
