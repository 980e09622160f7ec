"""Prediction without torch: read a picture, preprocess it, run the graph, decode the outputs."""
