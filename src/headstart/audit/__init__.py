"""The audit of a data set: what is wrong with pictures and labels before anything is trained."""
