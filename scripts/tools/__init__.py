"""Commands around the workflow: run it, draw it, set it up, make its sample."""
