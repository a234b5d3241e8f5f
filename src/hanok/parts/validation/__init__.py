"""Data validation: nothing enters a table unchecked, nothing bad is lost."""
