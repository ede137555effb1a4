"""What the report says of one model's inside: its drivers, how it stands small changes, and groups of applicants."""
