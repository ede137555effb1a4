"""What drives a model, how steady it is, and how it treats groups: for the report alone."""
