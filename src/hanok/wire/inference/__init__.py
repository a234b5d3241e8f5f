"""Open Inference Protocol v2 (REST) and MLflow's /invocations."""
