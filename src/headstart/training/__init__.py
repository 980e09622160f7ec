"""Plan, stored views, and the two phases of fitting. Needs torch."""
