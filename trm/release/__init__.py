"""What a sweep's winner is handed on as: a folder with a model card, and a version in MLflow's model registry."""
