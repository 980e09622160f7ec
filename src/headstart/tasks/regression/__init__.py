"""One number for each picture."""
