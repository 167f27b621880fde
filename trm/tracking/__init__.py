"""The way out to MLflow: one writer, fed from what lies on disk."""
