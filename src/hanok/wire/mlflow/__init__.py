"""MLflow's REST protocol as functions between bytes and core. Checked against the 3.17 and 3.18 clients."""
