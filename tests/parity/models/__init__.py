"""What each model must give for the cases of its original: one file a model."""
