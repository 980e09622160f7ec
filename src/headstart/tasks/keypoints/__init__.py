"""Points of one person or object, by heatmaps."""
