"""MLflow: candidates, verdicts and promotions on record: the only room that imports MLflow."""
