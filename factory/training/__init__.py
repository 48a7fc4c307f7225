"""Training: a base model on the pooled sites, one site model each fine-tuned from it, and the baseline to beat."""
