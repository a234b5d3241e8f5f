"""AutoML: give it data, get a model."""
