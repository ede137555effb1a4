"""What several steps need, one topic a module."""
