"""Scores from original files through the runtime, and the report that is made of them."""
