"""Whether a candidate may serve: the evidence on its holdout, the gates, the verdict."""
