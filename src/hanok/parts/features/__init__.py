"""The feature store: point-in-time training sets, online values, one definition for both."""
